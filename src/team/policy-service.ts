import { listOwners } from "../accounts/member-service.ts";
import { loosensPolicy, type Policy, setPolicy } from "../accounts/policy-service.ts";
import { byPerson, recordAudit } from "../audit/service.ts";
import { Problem } from "../lib/problems.ts";
import type { ChangeTerms } from "../lib/statement.ts";
import { queueMail } from "../mail/service.ts";
import { assertOwnerHasPasskey } from "../passkeys/ownership-service.ts";
import type { SessionDeps } from "../passkeys/session-deps.ts";
import type { Act, Signature } from "../passkeys/signed-act-service.ts";
import {
  type Account,
  askSecond,
  asOwner,
  type Done,
  type Owner,
  PENDING,
  type Pending,
  type Step,
} from "./owner-service.ts";
import { listOtherDeciders } from "./pending-service.ts";
import { policyChangedMail } from "./policy-mails.ts";

export type PolicyChange = { from: Policy; to: Policy };

/** What an owner signs to change the policy: every value, from what to what. */
export function policyAct(accountId: string, { from, to }: PolicyChange): Act {
  return { action: "policy", accountId, terms: { subject: { kind: "account", id: accountId }, from, to } };
}

/** The change that signed terms name: `policyAct` made them. */
export function policyChangeIn({ from, to }: ChangeTerms): PolicyChange {
  return { from: from as Policy, to: to as Policy };
}

/**
 * Changes the account's policy (docs/contract.md §7). An owner tightens it alone; loosening it needs a second person where two
 * people sign large payments. Records an audit entry with the signature, and mails the owners.
 * @returns `PENDING` where a second person must agree first
 * @throws Problem statement_stale when the policy is no longer `from`; passkeys_unavailable, passkey_missing,
 * second_decider_missing when no one could confirm by it; second_person_missing, account_frozen for a loosening; as
 * `proveAct` and `holdActor`
 */
export async function changePolicy(
  deps: SessionDeps,
  owner: Owner,
  account: Account,
  change: PolicyChange,
  signature: Signature,
): Promise<Done<undefined | Pending>> {
  const act = policyAct(account.accountId, change);
  return asOwner(deps, { owner, account, signature, act }, async (step) => {
    const loosens = loosensPolicy(change.from, change.to);
    if (loosens && (await askSecond(step, deps, { act, request: { kind: "policy" } }))) return PENDING;
    await changePolicyNow(step, deps, change);
    return undefined;
  });
}

/** Changes the policy, in the transaction of the last person who must agree. */
export async function changePolicyNow(
  step: Step,
  deps: SessionDeps,
  { from, to }: PolicyChange,
): Promise<void> {
  const { trx, now, owner: by, account, origin, proof } = step;
  const { accountId, accountName } = account;
  if (to.coSign === "passkey" && from.coSign !== "passkey") {
    if (deps.relyingParty === undefined) throw new Problem("passkeys_unavailable");
    await assertOwnerHasPasskey(trx, accountId);
  }
  if (to.secondSignerFromCents !== null && from.secondSignerFromCents === null) {
    if ((await listOtherDeciders(trx, accountId, by.userId)).length === 0)
      throw new Problem("second_decider_missing");
  }
  if (!(await setPolicy(trx, accountId, { from, to }, now))) throw new Problem("statement_stale");
  const entry = { accountId, actor: byPerson(by), subject: { kind: "account", id: accountId }, origin };
  const values = { before: from, after: to, detail: { ...proof } };
  await recordAudit(trx, { ...entry, action: "policy_changed", ...values }, now);
  const { terms } = policyAct(accountId, { from, to });
  for (const to of await listOwners(trx, accountId))
    await queueMail(trx, policyChangedMail(deps.config, to, { by, accountName, terms }), now);
}
