import type { Logger } from "pino";
import { recordAudit } from "../audit/service.ts";
import type { Trx } from "../database/connection.ts";
import type { Origin } from "../lib/origin.ts";
import { type Assertion, type AssertionRefusal, verifyAssertion } from "./assertion.ts";
import type { RelyingParty } from "./relying-party.ts";
import { markPasskeyUsed, type PasskeyRow } from "./store.ts";

/** What an answer is checked with, and where it came from. */
export type Checking = { relyingParty: RelyingParty; logger: Logger; origin: Origin };

/** Why a passkey's answer was refused. */
export type PasskeyRefusal =
  | AssertionRefusal
  | "known_credential"
  | "unknown_credential"
  | "unknown_or_inactive_credential"
  | "of_another_person"
  | "user_handle_absent"
  | "user_handle_of_another_person"
  | "challenge_unknown_or_expired"
  | "challenge_answered_before"
  | "counter_not_ahead";

/** Logs why an answer was refused. The person learns only that it was. */
export function logRefusal(
  { logger, origin }: Pick<Checking, "logger" | "origin">,
  reason: PasskeyRefusal,
  passkeyId?: string,
): undefined {
  logger.warn({ reqId: origin.requestId, reason, ...(passkeyId && { passkeyId }) }, "passkey answer refused");
}

/** A use of a passkey that was checked and is not recorded yet. */
export type PasskeyUse = { counter: number; backedUp: boolean; possibleCopy: boolean };

/**
 * Checks a passkey's answer; writes nothing. A synced passkey may repeat or lower its counter, as several password
 * managers do: that is accepted as a possible copy. A device-bound passkey whose counter does not rise is refused as
 * copied. The stored device type decides, as a copy could report any.
 * @returns `undefined` when it is refused, and the log says why
 */
export async function checkUse(
  checking: Checking,
  passkey: PasskeyRow,
  { assertion, challenge }: { assertion: Assertion; challenge: Buffer },
): Promise<PasskeyUse | undefined> {
  const checked = await verifyAssertion(checking.relyingParty, passkey, assertion, challenge);
  if ("refused" in checked) return logRefusal(checking, checked.refused, passkey.id);
  const { counter, backedUp } = checked.verified;
  // Both 0: the authenticator does not count.
  const ahead = counter > passkey.counter || (counter === 0 && passkey.counter === 0);
  if (!ahead && passkey.device_type === "singleDevice")
    return logRefusal(checking, "counter_not_ahead", passkey.id);
  return { counter, backedUp, possibleCopy: !ahead };
}

/** Records a use, in the transaction that it counts in. The caller holds the passkey. */
export async function recordUse(
  trx: Trx,
  { origin }: Pick<Checking, "origin">,
  { id, user_id: ofUser, counter: former }: PasskeyRow,
  use: PasskeyUse,
  now: Date,
): Promise<void> {
  await markPasskeyUsed(trx, id, use, now);
  if (!use.possibleCopy) return;
  const entry = { actor: { kind: "service" }, ofUser, action: "passkey_possibly_copied", origin } as const;
  const values = { before: { counter: former }, after: { counter: use.counter } };
  await recordAudit(trx, { ...entry, subject: { kind: "passkey", id }, ...values }, now);
}
