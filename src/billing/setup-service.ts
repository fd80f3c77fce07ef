import { listOwners } from "../accounts/member-service.ts";
import { getAccount } from "../accounts/service.ts";
import { byPerson, recordAudit } from "../audit/service.ts";
import type { Db } from "../database/connection.ts";
import type { Billing } from "../database/schema.ts";
import { Problem } from "../lib/problems.ts";
import { queueMail } from "../mail/service.ts";
import type { SessionDeps } from "../passkeys/session-deps.ts";
import { type Act, keptOf, proveAct, type Signature } from "../passkeys/signed-act-service.ts";
import { type Actor, inSession } from "../sign-in/service.ts";
import { changeSetup } from "./setup-store.ts";
import { setupChangedMail } from "./top-up-mails.ts";

export type BillingSetup = { from: Billing; to: Billing };

/** What an owner signs to change what fundings are paid from. */
export function setupAct(accountId: string, { from, to }: BillingSetup): Act {
  return {
    action: "policy",
    accountId,
    terms: { subject: { kind: "account", id: accountId }, from: { billing: from }, to: { billing: to } },
  };
}

/** What the account's fundings are paid from (docs/contract.md §5). */
export async function readSetup(db: Db, accountId: string): Promise<Billing> {
  return (await getAccount(db, accountId, accountId)).billing;
}

/**
 * An owner changes what fundings are paid from, with a proof younger than 5 minutes or, where passkeys are required,
 * a passkey's signature. Audited, and mailed to the owners.
 * @returns the cookie to set if a passkey signed
 * @throws Problem statement_stale if the setup is not the one shown; as `proveAct` and `holdActor`
 */
export function changeBillingSetup(
  deps: SessionDeps,
  owner: Actor & { email: string; name: string },
  {
    accountId,
    organizationId,
    accountName,
  }: { accountId: string; organizationId: string; accountName: string },
  change: BillingSetup,
  signature: Signature,
): Promise<string | undefined> {
  const need = { changes: "token", account: { id: accountId, may: "own", alone: true } } as const;
  return inSession(deps.db, owner, need, async (trx, now, held) => {
    const signed = await proveAct(
      trx,
      deps,
      owner,
      held,
      { act: setupAct(accountId, change), signature },
      now,
    );
    const { from, to } = change;
    if (!(await changeSetup(trx, accountId, change, now))) throw new Problem("statement_stale");
    const entry = {
      accountId,
      actor: byPerson(owner),
      action: "account_changed" as const,
      subject: { kind: "account", id: organizationId },
      before: { billing: from },
      after: { billing: to },
      detail: { ...keptOf(signed) },
      origin: signature.origin,
    };
    await recordAudit(trx, entry, now);
    for (const { email } of await listOwners(trx, accountId))
      await queueMail(trx, setupChangedMail(deps.config, { email, accountName }, owner, to), now);
    return signed?.cookie;
  });
}
