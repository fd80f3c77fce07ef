import type { FastifyReply, FastifyRequest } from "fastify";
import { type HumanApproval, isRecorded } from "../../approvals/human-service.ts";
import { payingSource } from "../../approvals/source-rules.ts";
import { html } from "../../lib/html.ts";
import { Problem, type ProblemName } from "../../lib/problems.ts";
import type { Source } from "../../lib/statement.ts";
import type { Human } from "../../sign-in/gate.ts";
import type { Page } from "../kit/layout.ts";
import { leadTo, type Said } from "../kit/said.ts";
import { show } from "../kit/site.ts";
import { sourceName } from "../kit/wording.ts";
import {
  type ApprovalPageDeps,
  approvalPath,
  findOwn,
  isCurrent,
  type Shown,
  sourceShown,
} from "./approval-view.ts";

/**
 * Runs a decision and leads back to the approval's page, so that Back and reload repeat nothing. If the decision is
 * rejected, the page says why. If the commit's answer was lost (fail-over), the page says whether the decision was
 * recorded.
 * @throws Problem not_found, session_ended
 */
export async function decide(
  deps: ApprovalPageDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  human: Human,
  approval: HumanApproval,
  work: () => Promise<void>,
): Promise<FastifyReply> {
  try {
    await work();
  } catch (error) {
    if (error instanceof Problem) return reject(deps, request, reply, human, error);
    request.log.warn({ reqId: request.id, err: error }, "the outcome of a decision is not known yet");
    const recorded = await wasRecorded(deps, request, approval);
    if (recorded === undefined)
      return show(deps, reply, unknownPage(approvalPath(request)), { human, status: 503 });
    if (!recorded) return leadBack(deps, request, reply, human, { message: UNRECORDED });
  }
  return leadBack(deps, request, reply, human);
}

/** Leads back to the approval's page, which then says `said`. */
export function leadBack(
  deps: ApprovalPageDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  human: Human,
  said?: Said,
): FastifyReply {
  return leadTo(deps, reply, human, approvalPath(request), said);
}

/**
 * Leads back to the page as it is now, which says why a decision was rejected.
 * @throws Problem not_found, session_ended: what the page shows is for members who are signed in
 */
export async function reject(
  deps: ApprovalPageDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  human: Human,
  problem: Problem,
): Promise<FastifyReply> {
  if (problem.problem === "session_ended" || problem.problem === "not_found") throw problem;
  const approval = await findOwn(deps, request, human);
  return leadBack(deps, request, reply, human, explain(approval, request, problem));
}

/** `undefined`: not known yet. */
function wasRecorded(
  { db }: ApprovalPageDeps,
  { body }: FastifyRequest,
  approval: HumanApproval,
): Promise<boolean | undefined> {
  const { digest } = body as Partial<Shown>;
  if (digest === undefined) return Promise.resolve(undefined);
  return isRecorded(db, approval, Buffer.from(digest, "hex")).catch(() => undefined);
}

const UNRECORDED =
  "Nothing was recorded, and nothing was charged: the service was interrupted. Decide again.";

const unknownPage = (path: string): Page => ({
  title: "We don't know yet",
  body: html`
      <p>The service was interrupted. We don't know yet whether your answer was recorded.</p>
      <p><a href="${path}">Open the approval again</a> in a minute: it shows what was recorded. Nothing is charged
        twice.</p>`,
});

const NOT_CONFIRMED: ReadonlySet<ProblemName> = new Set([
  "presence_expired",
  "passkey_required",
  "passkey_refused",
  "challenge_expired",
]);

/** The message for a rejected decision; `undefined`: the page already shows the reason. */
function explain(
  approval: HumanApproval,
  request: FastifyRequest,
  { problem, message }: Problem,
): Said | undefined {
  const confirms = request.routeOptions.url?.endsWith("/confirm") === true;
  if (NOT_CONFIRMED.has(problem)) return { message: `Nothing was confirmed. ${message}` };
  switch (problem) {
    case "statement_stale":
      return { message: staleWords(approval, request.body as Shown) ?? message };
    case "already_decided":
      return { message: decidedWords(approval, confirms), calm: true };
    case "payment_in_progress":
      // Also a second click on Confirm: the page already shows that the payment is in progress.
      return confirms ? undefined : { message: UNDER_WAY, calm: true };
    case "account_frozen":
    case "payments_paused":
      return { message: "Nothing was confirmed." };
    default:
      return { message };
  }
}

const UNDER_WAY =
  "The payment is under way, so this can’t be declined or cancelled right now. The result will appear here.";

function decidedWords({ state, result }: HumanApproval, confirms: boolean): string {
  const yours = confirms ? "Your confirmation came after that" : "Your answer came after that";
  switch (state) {
    case "confirmed":
      return `This was confirmed while your page was open. ${yours}, and nothing was charged twice.`;
    case "declined":
      return `This was declined while your page was open. ${yours}, and nothing was charged.`;
    default:
      return typeof result?.reason === "string"
        ? `This was closed while your page was open. ${yours}, and nothing was charged.`
        : `This expired while your page was open. ${yours}, and nothing was charged.`;
  }
}

/**
 * What has changed since the page was opened. While an approval is pending its terms stand, so a page becomes stale by
 * another card, by credits that do or do not cover it any more, or because it was sent twice.
 */
function staleWords(approval: HumanApproval, shown: Shown): string | undefined {
  if (approval.state !== "waiting") return undefined;
  if (isCurrent(approval, shown))
    return "This form was sent twice and recorded once. Read the page again before you decide.";
  if (approval.type !== "milestone_fund") return undefined;
  return `Nothing was confirmed: ${sourceNow(approval, sourceShown(approval, shown))}. Read it again before you decide.`;
}

/** What pays now, and not what the page has shown. */
function sourceNow(approval: HumanApproval, before: Source | undefined): string {
  const source = payingSource(approval);
  if (source === null) return "no card is on file any more";
  const not = before === undefined ? "" : `, not the ${sourceName(before)}`;
  if (source.kind === "credits") return `the account’s credits pay now${not}`;
  const short = approval.billing === "credits_first" ? "the available credits don’t cover it, so " : "";
  return `${short}the ${sourceName(source)} pays now${not}`;
}
