import type { Approval } from "../approvals/schemas.ts";
import type { ErrorEnvelope } from "../http/errors.ts";
import type { ToolName } from "./tools.ts";

/** What a tool call came to: what the API would have answered, as it would have. */
export type Outcome =
  | { ok: true; body: Record<string, unknown>; approval?: Approval }
  | { ok: false; status: number; envelope: ErrorEnvelope };

/** A page on which a human does what no agent can. The name tells the questions of one call apart. */
export type HumanLink = {
  name: "claim" | "billing" | "approval";
  url: string;
  message: string;
  /** The approval that is decided there. */
  approvalId?: string;
};

const STATES: Record<string, (approval: Approval) => string> = {
  pending: ({ approvalUrl, expiresAt }) =>
    `PENDING: not decided yet, and nothing has been charged. Give your human this link: ${approvalUrl}\n` +
    "Then wait with opentrain_wait_for_approval, or do other work and look later. Do not request it again: that " +
    `would answer this same approval. It expires at ${expiresAt}.`,
  confirmed: () =>
    "CONFIRMED: a human confirmed it, and the action has been executed. There is nothing more to do for it.",
  declined: () =>
    "DECLINED: a human said no, and nothing was charged. Do not ask again unless your human wants you to.",
  expired: ({ result }) =>
    result === null
      ? "EXPIRED: it was not decided in time, and nothing was charged. That is not a no: if it is still wanted, you may ask again."
      : `EXPIRED: it ended before a decision (${String(result.reason)}), and nothing was charged. That is not a no: ` +
        "read the contract again, and ask again if it is still wanted.",
};

/** What an approval's state means for the agent, and what to do next. */
export function explainApproval(approval: Approval): string {
  return STATES[approval.status]?.(approval) ?? `The approval is ${approval.status}.`;
}

const ADVICE: Record<string, string> = {
  BAD_REQUEST: "Correct the argument that is named, then call again.",
  UNAUTHORIZED: "The token is not valid any more. Your human has to give you another.",
  FORBIDDEN: "Calling again will not help until that has changed.",
  NOT_FOUND: "Check the id: take it from opentrain_list_contracts or from an earlier answer.",
  CONFLICT: "Calling again will not help until that has changed.",
  RATE_LIMITED: "Wait that long before you call again.",
  INTERNAL_ERROR: "Tell your human. Read the state before you repeat anything.",
  UNAVAILABLE: "Call again in a few seconds: nothing was lost, and asking twice is asking once.",
};

/** A refusal in words that a model can act on: code, reason, what to do, whom to send where. */
export function explainRefusal({ status, envelope }: Extract<Outcome, { ok: false }>): string {
  const { code, error, details = {}, requestId } = envelope;
  const reason = typeof details.reason === "string" ? `, ${details.reason}` : "";
  const link = linkOf(details);
  const advice =
    link === undefined
      ? (ADVICE[code] ?? "")
      : `Only a human can mend this. Give yours this link, and call again when they say it is done: ${link}`;
  return [
    `REFUSED (${status} ${code}${reason}): ${error}`,
    advice,
    `details: ${JSON.stringify(details)}`,
    `requestId: ${requestId}`,
  ].join("\n");
}

const LINKS = ["claimUrl", "billingUrl", "tokensUrl"] as const;

function linkOf(details: Record<string, unknown>): string | undefined {
  return LINKS.map((name) => details[name]).find((url) => typeof url === "string");
}

/** The page that a human has to open next, where the outcome of a call asks for one and a client could show it. */
export function nextLink(tool: ToolName, outcome: Outcome): HumanLink | undefined {
  if (outcome.ok) return tool === "opentrain_request_milestone_funding" ? decisionLink(outcome) : undefined;
  const { claimUrl, billingUrl } = outcome.envelope.details ?? {};
  if (typeof claimUrl === "string") return { name: "claim", url: claimUrl, message: CLAIM };
  if (typeof billingUrl === "string") return { name: "billing", url: billingUrl, message: BILLING };
  return undefined;
}

const CLAIM = "A person has to take over this account before an agent may ask for money. This page says how.";
const BILLING = "There is no card on file. You can add one on this page.";
const DECISION =
  "Your agent asks you to fund a milestone. Read the exact terms on this page, and confirm or decline there.";

function decisionLink({ approval }: Extract<Outcome, { ok: true }>): HumanLink | undefined {
  if (approval?.status !== "pending") return undefined;
  return { name: "approval", url: approval.approvalUrl, message: DECISION, approvalId: approval.id };
}
