import { Type } from "@sinclair/typebox";
import { may } from "../../../accounts/roles.ts";
import type { MemberRole } from "../../../database/schema.ts";
import type { App } from "../../../http/app.ts";
import { originOf } from "../../../http/origin.ts";
import { Problem } from "../../../lib/problems.ts";
import type { SessionDeps } from "../../../passkeys/session-deps.ts";
import { mustSign } from "../../../passkeys/signed-act-service.ts";
import { formToken } from "../../../sign-in/form-token.ts";
import type { Human } from "../../../sign-in/gate.ts";
import {
  decideUpgrade,
  findUpgrade,
  listUpgrades,
  objectToUpgrade,
  upgradeAct,
} from "../../../team/upgrade-service.ts";
import { accountOf } from "../../kit/memberships.ts";
import { PROOF, personForm, UUID } from "../../kit/person-routes.ts";
import { answerSigning, findActing, findPresent, setCookie } from "../../kit/signing.ts";
import { MEMBERS } from "./member-pages.ts";
import type { UpgradeView } from "./upgrade-pages.ts";

const PARAMS = { accountId: UUID, upgradeId: Type.String() };

const purposeOf = (upgradeId: string) => `members:upgrade:${upgradeId}`;

/** What the operator asks for in one account, with what each form is bound to. */
export async function viewUpgrades(
  { db, keys }: SessionDeps,
  human: Human,
  { accountId, role }: { accountId: string; role: MemberRole },
): Promise<UpgradeView[]> {
  const signs = await mustSign(db, human.userId, accountId);
  return (await listUpgrades(db, accountId)).map((upgrade) => ({
    ...upgrade,
    formToken: formToken(keys, human, purposeOf(upgrade.id)),
    path: `${MEMBERS}/upgrades/${accountId}/${upgrade.id}`,
    decides: may(role, "own"),
    signs,
  }));
}

/** An owner accepts or refuses a role that the operator requested; any member objects to one that needs no owner. */
export function upgradeRoutes(app: App, deps: SessionDeps): void {
  const form = personForm(app, deps, {
    params: PARAMS,
    fields: {
      ...PROOF,
      decision: Type.Union([Type.Literal("consent"), Type.Literal("refuse"), Type.Literal("object")]),
    },
    purpose: ({ params }) => purposeOf(params.upgradeId),
    returnTo: () => MEMBERS,
  });
  const path = `${MEMBERS}/upgrades/:accountId/:upgradeId`;
  form(`${path}/sign`, async ({ human, params: { accountId, upgradeId } }, reply) => {
    accountOf(human, accountId);
    const upgrade = await findUpgrade(deps.db, accountId, upgradeId);
    return answerSigning(deps, reply, human, upgrade && upgradeAct(upgrade));
  });
  form(path, async ({ human, params: { accountId, upgradeId }, body: { decision }, request }, reply) => {
    const account = accountOf(human, accountId);
    const origin = originOf(request);
    const say = (said: string) => reply.redirect(`${MEMBERS}?said=${said}`, 303);
    if (decision === "object") {
      const objected = await objectToUpgrade(deps, human, account, upgradeId, origin);
      return say(objected ? "upgrade_ended" : "upgrade_over");
    }
    if (!may(account.role, "own")) throw new Problem("not_permitted");
    const consents = decision === "consent";
    const found = consents
      ? await findActing(deps, request, reply, human, accountId)
      : await findPresent(deps, request, reply, human);
    if (found === undefined) return say("upgrade_unproved");
    const choice = { upgradeId, consents };
    const { decided, pending, cookie } = await decideUpgrade(
      deps,
      found.acting,
      account,
      choice,
      found.signature,
    );
    setCookie(reply, cookie);
    if (!decided) return say("upgrade_over");
    if (pending) return say("second");
    return say(consents ? "upgrade_consented" : "upgrade_ended");
  });
}
