import { Type } from "@sinclair/typebox";
import type { App } from "../../../http/app.ts";
import { originOf } from "../../../http/origin.ts";
import type { SessionDeps } from "../../../passkeys/session-deps.ts";
import { mustSign } from "../../../passkeys/signed-act-service.ts";
import { formToken } from "../../../sign-in/form-token.ts";
import type { Human } from "../../../sign-in/gate.ts";
import { findPendingChange, listPendingChanges } from "../../../team/pending-service.ts";
import { decideChange, pendingAct } from "../../../team/second-person-service.ts";
import { type Membership, managedBy, manages } from "../../kit/memberships.ts";
import { PROOF, personForm, UUID } from "../../kit/person-routes.ts";
import { answerSigning, findActing, setCookie } from "../../kit/signing.ts";
import { show } from "../../kit/site.ts";
import { invitedPage } from "../members/member-pages.ts";
import type { PendingView } from "./pending-pages.ts";

const PARAMS = { accountId: UUID, changeId: Type.String() };

const CHANGES = "/settings/changes";
/** The page that lists the changes of each kind. */
const PLACES = { member: "/settings/members", policy: "/settings/policy" } as const;
type Kind = keyof typeof PLACES;

const purposeOf = (changeId: string) => `change:${changeId}`;

/** The pending changes of that kind in one account, with what each form is bound to. */
export async function viewPending(
  { db, keys }: SessionDeps,
  human: Human,
  account: Membership,
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
  const form = personForm(app, deps, {
    params: PARAMS,
    fields: { ...PROOF, decision: Type.Union([Type.Literal("agree"), Type.Literal("refuse")]) },
    purpose: ({ params }) => purposeOf(params.changeId),
    returnTo: () => PLACES.member,
  });
  const path = `${CHANGES}/:accountId/:changeId`;
  form(`${path}/sign`, async ({ human, params: { accountId, changeId } }, reply) => {
    managedBy(human, accountId);
    const change = await findPendingChange(deps.db, accountId, changeId);
    return answerSigning(deps, reply, human, change && pendingAct(change));
  });
  form(path, async ({ human, params: { accountId, changeId }, body: { decision }, request }, reply) => {
    const account = managedBy(human, accountId);
    const agrees = decision === "agree";
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
