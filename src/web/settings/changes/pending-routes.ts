import { Type } from "@sinclair/typebox";
import type { FastifyRequest } from "fastify";
import type { App } from "../../../http/app.ts";
import { originOf } from "../../../http/origin.ts";
import { Problem } from "../../../lib/problems.ts";
import type { SessionDeps } from "../../../passkeys/session-deps.ts";
import { askToSign, mustSign } from "../../../passkeys/signed-act-service.ts";
import { formToken } from "../../../sign-in/form-token.ts";
import { type Human, openSessionGate } from "../../../sign-in/gate.ts";
import { findPendingChange, listPendingChanges } from "../../../team/pending-service.ts";
import { decideChange, pendingAct } from "../../../team/second-person-service.ts";
import { accountOf, manages } from "../../kit/memberships.ts";
import { findActing, setCookie } from "../../kit/signing.ts";
import { show } from "../../kit/site.ts";
import { invitedPage } from "../members/member-pages.ts";
import { Credential } from "../security/passkey-routes.ts";
import type { PendingView } from "./pending-pages.ts";

const Params = Type.Object({ accountId: Type.String({ format: "uuid" }), changeId: Type.String() });
const Body = Type.Object(
  {
    form_token: Type.String({ maxLength: 100 }),
    decision: Type.Union([Type.Literal("agree"), Type.Literal("refuse")]),
    password: Type.Optional(Type.String({ maxLength: 1_024 })),
    credential: Type.Optional(Credential),
  },
  { additionalProperties: false },
);

const CHANGES = "/settings/changes";
/** The page that lists the changes of each kind. */
const PLACES = { member: "/settings/members", policy: "/settings/policy" } as const;
type Kind = keyof typeof PLACES;

const purposeOf = (changeId: string) => `change:${changeId}`;

/** The changes of that kind that wait for a second person in one account, with what each form is bound to. */
export async function viewPending(
  { db, keys }: SessionDeps,
  human: Human,
  account: Human["memberships"][number],
  kind: Kind,
): Promise<PendingView[]> {
  const { accountId } = account;
  const signs = await mustSign(db, human.userId, accountId);
  const pending = (await listPendingChanges(db, accountId)).filter(({ action }) => action === kind);
  return pending.map((change) => ({
    ...change,
    formToken: formToken(keys, human, purposeOf(change.id)),
    path: `${CHANGES}/${accountId}/${change.id}`,
    as: change.askedBy === human.userId ? "asker" : manages(account) ? "second" : "reader",
    signs,
  }));
}

type Deps = SessionDeps & { config: { smtpUrl: string | undefined; demo: boolean } };

/** A second person agrees to a change or refuses it; who asked for it withdraws it (docs/contract.md §1, Two people). */
export function pendingRoutes(app: App, deps: Deps): void {
  const gate = openSessionGate(deps, {
    purpose: (request: FastifyRequest) => purposeOf((request.params as { changeId: string }).changeId),
    returnTo: () => PLACES.member,
  });
  const options = { ...gate.options, schema: { hide: true as const, params: Params, body: Body } };
  app.post(`${CHANGES}/:accountId/:changeId/sign`, options, async (request, reply) => {
    const human = gate.human(request);
    const { accountId, changeId } = request.params;
    if (!manages(accountOf(human, accountId))) throw new Problem("not_permitted");
    const change = await findPendingChange(deps.db, accountId, changeId);
    // Then the form is sent as it is, and the page says that it is over.
    if (change === undefined) return reply.code(204).send();
    return reply.send(await askToSign(deps, human, pendingAct(change)));
  });
  app.post(`${CHANGES}/:accountId/:changeId`, options, async (request, reply) => {
    const human = gate.human(request);
    const { accountId, changeId } = request.params;
    const account = accountOf(human, accountId);
    if (!manages(account)) throw new Problem("not_permitted");
    const agrees = request.body.decision === "agree";
    const place = PLACES[(await findPendingChange(deps.db, accountId, changeId))?.action ?? "member"];
    const say = (said: string) => reply.redirect(`${place}?said=${said}`, 303);
    const found = agrees
      ? await findActing(deps, request, reply, human, accountId)
      : { acting: human, signature: { credential: undefined, origin: originOf(request) } };
    if (found === undefined) return say("change_unproved");
    const choice = { changeId, agrees };
    const { decided, cookie, invited } = await decideChange(
      deps,
      found.acting,
      account,
      choice,
      found.signature,
    );
    setCookie(reply, cookie);
    if (!decided) return say("change_over");
    if (invited === undefined || deps.config.smtpUrl !== undefined || deps.config.demo)
      return say(agrees ? "change_agreed" : "change_refused");
    const page = invitedPage(invited, `${deps.config.publicUrl}/invite?token=${invited.secret}`);
    return show(deps, reply, page, { human, status: 201 });
  });
}
