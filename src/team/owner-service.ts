import { assertNotFrozen } from "../accounts/service.ts";
import type { Trx } from "../database/connection.ts";
import type { PendingRequest } from "../database/schema.ts";
import type { Origin } from "../lib/origin.ts";
import type { SessionDeps } from "../passkeys/session-deps.ts";
import {
  type Act,
  keptOf,
  proveAct,
  recordRefusedActs,
  type Signature,
} from "../passkeys/signed-act-service.ts";
import { inSession, type Person } from "../sign-in/service.ts";
import { askForSecondPerson, needsSecondPerson } from "./pending-service.ts";

export type Owner = Person;
export type Account = { accountId: string; accountName: string };

/** The result, and the cookie to set where a passkey has signed the change. */
export type Done<T> = { value: T; cookie: string | undefined };

/**
 * A change by an owner. Their passkey signs it where the account confirms with passkeys only; otherwise it needs a
 * proof of presence younger than 5 minutes. Each change records an audit entry with the signature, and may throw what
 * `proveAct` and `holdActor` throw.
 */
export type Step = { trx: Trx; now: Date; owner: Owner; account: Account; origin: Origin; proof: object };

/** Nothing has changed yet: a second person must agree (docs/contract.md §1, Two people). */
export const PENDING = "pending";
export type Pending = typeof PENDING;

/**
 * Runs a change by an owner of the account, whom their passkey or a fresh proof proves.
 * @throws what `work` throws; as `proveAct` and `holdActor`
 */
export async function asOwner<T>(
  deps: SessionDeps,
  { owner, account, act, signature }: { owner: Owner; account: Account; act: Act; signature: Signature },
  work: (step: Step) => Promise<T>,
): Promise<Done<T>> {
  const need = { changes: "token", account: { id: account.accountId, may: "own", alone: true } } as const;
  const { origin } = signature;
  return recordRefusedActs(deps.db, owner, { act, origin }, () =>
    inSession(deps.db, owner, need, async (trx, now, held) => {
      const signed = await proveAct(trx, deps, owner, held, { act, signature }, now);
      const step = { trx, now, owner, account, origin, proof: keptOf(signed) };
      return { value: await work(step), cookie: signed?.cookie };
    }),
  );
}

/** Leaves a change to a second person, where the account requires two. @returns whether it did */
export async function askSecond(
  { trx, now, owner, account, origin, proof }: Step,
  { config }: Pick<SessionDeps, "config">,
  { act, request }: { act: Act; request: PendingRequest },
): Promise<boolean> {
  const { accountId } = account;
  await assertNotFrozen(trx, accountId);
  if (!(await needsSecondPerson(trx, accountId, owner.userId, { operatorAsks: false }))) return false;
  const asked = { account, by: owner, act, request, kept: proof, origin };
  await askForSecondPerson(trx, config, asked, now);
  return true;
}
