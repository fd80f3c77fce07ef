import type { Db, Trx } from "../database/connection.ts";
import * as store from "./store.ts";

export type { Policy } from "./store.ts";

/** Reads the account's policy (docs/contract.md §7). */
export async function readPolicy(db: Db, accountId: string): Promise<store.Policy> {
  const row = await store.findAccount(db, accountId);
  if (row === undefined) throw new TypeError("the account does not exist");
  return {
    coSign: row.co_sign,
    amountTypedFromCents: row.amount_typed_from_cents,
    secondSignerFromCents: row.second_signer_from_cents,
    billing: row.billing,
  };
}

export function samePolicy(a: store.Policy, b: store.Policy): boolean {
  return (Object.keys(a) as (keyof store.Policy)[]).every((key) => a[key] === b[key]);
}

/** Whether the change makes it easier to confirm. What pays makes it neither easier nor harder. */
export function loosensPolicy(from: store.Policy, to: store.Policy): boolean {
  const never = Number.POSITIVE_INFINITY;
  return (
    (from.coSign === "passkey" && to.coSign === "session") ||
    (to.amountTypedFromCents ?? never) > (from.amountTypedFromCents ?? never) ||
    (to.secondSignerFromCents ?? never) > (from.secondSignerFromCents ?? never)
  );
}

/**
 * Sets the policy. The caller has locked the account.
 * @returns `false` when the policy is no longer `from`
 */
export async function setPolicy(
  trx: Trx,
  accountId: string,
  { from, to }: { from: store.Policy; to: store.Policy },
  now: Date,
): Promise<boolean> {
  if (!samePolicy(await readPolicy(trx, accountId), from)) return false;
  await store.updatePolicy(trx, accountId, to, now);
  return true;
}
