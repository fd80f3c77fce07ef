import { Type } from "@sinclair/typebox";
import type { FastifyRequest } from "fastify";
import type { App } from "../http/app.ts";
import { originOf } from "../http/origin.ts";
import { Problem } from "../lib/problems.ts";
import type { SessionDeps } from "../sessions/service.ts";
import { formToken } from "../sign-in/form-token.ts";
import { type Human, openSessionGate } from "../sign-in/gate.ts";
import { decideUpgrade, listUpgrades, objectToUpgrade } from "../team/upgrade-service.ts";
import { MEMBERS } from "./member-pages.ts";
import { accountOf } from "./memberships.ts";
import { proveNow } from "./presence.ts";
import type { UpgradeView } from "./upgrade-pages.ts";

const Params = Type.Object({ accountId: Type.String({ format: "uuid" }), upgradeId: Type.String() });
const Body = Type.Object(
  {
    form_token: Type.String({ maxLength: 100 }),
    decision: Type.Union([Type.Literal("consent"), Type.Literal("refuse"), Type.Literal("object")]),
    password: Type.Optional(Type.String({ maxLength: 1_024 })),
  },
  { additionalProperties: false },
);

const purposeOf = (upgradeId: string) => `members:upgrade:${upgradeId}`;

/** What the operator asks for in one account, with what each form is bound to. */
export async function viewUpgrades(
  { db, keys }: SessionDeps,
  human: Human,
  { accountId, role }: { accountId: string; role: string },
): Promise<UpgradeView[]> {
  return (await listUpgrades(db, accountId)).map((upgrade) => ({
    ...upgrade,
    formToken: formToken(keys, human, purposeOf(upgrade.id)),
    path: `${MEMBERS}/upgrades/${accountId}/${upgrade.id}`,
    decides: role === "owner",
  }));
}

/** An owner consents to a role that the operator asks for, or refuses; any member objects to one that waits for nobody. */
export function upgradeRoutes(app: App, deps: SessionDeps): void {
  const gate = openSessionGate(deps, {
    purpose: (request: FastifyRequest) => purposeOf((request.params as { upgradeId: string }).upgradeId),
    returnTo: () => MEMBERS,
  });
  app.post(
    `${MEMBERS}/upgrades/:accountId/:upgradeId`,
    { ...gate.options, schema: { hide: true, params: Params, body: Body } },
    async (request, reply) => {
      const human = gate.human(request);
      const { accountId, upgradeId } = request.params;
      const { decision, password } = request.body;
      const account = accountOf(human, accountId);
      const origin = originOf(request);
      const say = (said: string) => reply.redirect(`${MEMBERS}?said=${said}`, 303);
      if (decision === "object") {
        const objected = await objectToUpgrade(deps, human, account, upgradeId, origin);
        return say(objected ? "upgrade_ended" : "upgrade_over");
      }
      if (account.role !== "owner") throw new Problem("not_permitted");
      const acting = await proveNow(deps, request, reply, human, password);
      if (acting === undefined) return say("upgrade_unproved");
      const consents = decision === "consent";
      const choice = { upgradeId, consents };
      if (!(await decideUpgrade(deps, acting, account, choice, origin))) return say("upgrade_over");
      return say(consents ? "upgrade_consented" : "upgrade_ended");
    },
  );
}
