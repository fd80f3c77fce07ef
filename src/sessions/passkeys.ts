import {
  generateRegistrationOptions,
  type PublicKeyCredentialCreationOptionsJSON,
} from "@simplewebauthn/server";
import { listOwners } from "../accounts/member-service.ts";
import { listMemberships } from "../accounts/service.ts";
import { readClock } from "../database/clock.ts";
import type { Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { isUuid, newId } from "../lib/ids.ts";
import { Problem } from "../lib/problems.ts";
import { SECOND } from "../lib/time.ts";
import { queueMail } from "../mail/service.ts";
import { type Ceremony, CHALLENGE_SECONDS, newChallenge, readChallenge } from "./challenge.ts";
import { counts, useChallenge, userHandleOf } from "./passkey-answer.ts";
import { passkeyAddedMail, passkeyRemovedMail, passkeyWaitsMail } from "./passkey-mails.ts";
import * as passkeys from "./passkey-store.ts";
import { logRefusal, type PasskeyRefusal } from "./passkey-use.ts";
import { ALGORITHMS, readRegistration, verifyRegistration } from "./registration.ts";
import { holdSession, leaveTrace, type SessionDeps } from "./service.ts";
import * as store from "./store.ts";

export type { PasskeyRow } from "./passkey-store.ts";

export const PASSKEYS_AT_MOST = 20;
export const PASSKEY_NAME_AT_MOST = 60;
const ADDING = "passkey:add";

export type Person = { userId: string; email: string; name: string; sessionId: string };

/** All passkeys of the person, those that wait for consent too, the oldest first. */
export function listOwnPasskeys({ db }: SessionDeps, userId: string): Promise<passkeys.PasskeyRow[]> {
  return passkeys.listOwnPasskeys(db, userId);
}

/**
 * What `navigator.credentials.create` is to make: a passkey that signs in without an e-mail, and recognises its
 * person each time. The challenge counts for this session.
 * @throws Problem passkeys_unavailable, passkey_limit_reached
 */
export async function askForNewPasskey(
  { db, keys, relyingParty }: SessionDeps,
  person: Person,
): Promise<PublicKeyCredentialCreationOptionsJSON> {
  if (relyingParty === undefined) throw new Problem("passkeys_unavailable");
  const own = await passkeys.listOwnPasskeys(db, person.userId);
  if (own.length >= PASSKEYS_AT_MOST) throw new Problem("passkey_limit_reached");
  const challenge = newChallenge(keys, addingIn(person), await readClock(db));
  return generateRegistrationOptions({
    rpName: relyingParty.name,
    rpID: relyingParty.id,
    userID: new Uint8Array(userHandleOf(person.userId)),
    userName: person.email,
    userDisplayName: person.name,
    challenge: new Uint8Array(challenge),
    timeout: CHALLENGE_SECONDS * SECOND,
    attestationType: "none",
    authenticatorSelection: { residentKey: "required", userVerification: "required" },
    supportedAlgorithmIDs: ALGORITHMS,
    excludeCredentials: own.map(({ credential_id, transports }) => ({
      id: credential_id.toString("base64url"),
      transports,
    })),
  });
}

/**
 * Adds the passkey that an authenticator has made: the person's other sessions end, they are mailed, and the audit has
 * it. In a session that is not trusted it waits for consent (`passkey-trust.ts`), and the owners of the person's accounts
 * are mailed.
 * @returns whether it counts at once; `undefined`: it is no new passkey of theirs, or is known already, and the log says why
 * @throws Problem presence_lapsed, passkey_limit_reached
 */
export async function addPasskey(
  deps: SessionDeps,
  person: Person,
  { credential, name }: { credential: string; name: string },
  address: string,
): Promise<{ trusted: boolean } | undefined> {
  const { db, keys, relyingParty, config, logger } = deps;
  const refuse = (reason: PasskeyRefusal): undefined =>
    logRefusal({ logger, origin: { address, requestId: null } }, reason);
  const registration = readRegistration(credential);
  if (registration === undefined || relyingParty === undefined) return refuse("unreadable");
  return inTransaction(db, async (trx) => {
    const now = await readClock(trx);
    const { clientDataJSON } = registration.response;
    const challenge = readChallenge(keys, addingIn(person), clientDataJSON, now);
    if (challenge === undefined) return refuse("challenge_unknown_or_expired");
    const { trusted } = await holdSession(trx, person, now);
    const checked = await verifyRegistration(relyingParty, registration, challenge.bytes);
    if ("refused" in checked) return refuse(checked.refused);
    const { made } = checked;
    if (!(await useChallenge(trx, challenge))) return refuse("challenge_answered_before");
    if ((await passkeys.listOwnPasskeys(trx, person.userId)).length >= PASSKEYS_AT_MOST)
      throw new Problem("passkey_limit_reached");
    const id = newId();
    const row = {
      id,
      user_id: person.userId,
      name,
      credential_id: made.credentialId,
      public_key: made.publicKey,
      counter: made.counter,
      transports: made.transports,
      device_type: made.deviceType,
      backed_up: made.backedUp,
      aaguid: made.aaguid,
      created_at: now,
      last_used_at: null,
      trusted_from: trusted ? now : null,
    };
    if (!(await passkeys.insertPasskey(trx, row))) return refuse("known_credential");
    if (trusted) await store.markProvedByPasskey(trx, person.sessionId, true, now);
    const sessionsEnded = await store.deleteSessions(trx, person.userId, person.sessionId);
    const detail = { passkeyId: id, name, trusted, sessionsEnded };
    await leaveTrace(trx, { userId: person.userId, action: "passkey_added", detail, address }, now);
    await queueMail(trx, passkeyAddedMail(config, person, { name, trusted }), now);
    if (!trusted) await mailOwners(trx, config, person, now);
    return { trusted };
  });
}

/** Gives a passkey of theirs another name. */
export async function renamePasskey(
  { db }: SessionDeps,
  { userId }: Person,
  id: string,
  name: string,
): Promise<void> {
  if (isUuid(id)) await passkeys.renamePasskey(db, userId, id, name);
}

/**
 * Removes a passkey: the person's other sessions end, they are mailed, and the audit has it. Whoever removes one that
 * counts with no more than the password has not shown that they may put another in its place.
 * @returns `false`: they have no such passkey
 * @throws Problem presence_lapsed
 */
export async function removePasskey(
  { db, config }: SessionDeps,
  person: Person,
  id: string,
  address: string,
): Promise<boolean> {
  return inTransaction(db, async (trx) => {
    const now = await readClock(trx);
    const { trusted } = await holdSession(trx, person, now);
    const passkey = await passkeys.deletePasskey(trx, person.userId, id);
    if (passkey === undefined) return false;
    if (!trusted && counts(passkey, now)) await store.markUnvouched(trx, person.userId, now);
    const sessionsEnded = await store.deleteSessions(trx, person.userId, person.sessionId);
    const detail = { passkeyId: id, name: passkey.name, sessionsEnded };
    await leaveTrace(trx, { userId: person.userId, action: "passkey_removed", detail, address }, now);
    await queueMail(trx, passkeyRemovedMail(config, person, passkey), now);
    return true;
  });
}

/** A name for a new passkey, after the machine that it is made on. */
export function passkeyName(userAgent: string): string {
  const system = SYSTEMS.find(([sign]) => userAgent.includes(sign))?.[1];
  return system === undefined ? "Passkey" : `Passkey on ${system}`;
}

/** In this order: Android says that it is Linux, and ChromeOS too. */
const SYSTEMS = [
  ["iPhone", "iPhone"],
  ["iPad", "iPad"],
  ["Android", "Android"],
  ["CrOS", "ChromeOS"],
  ["Windows", "Windows"],
  ["Macintosh", "Mac"],
  ["Linux", "Linux"],
] as const;

function addingIn({ sessionId }: Person): Ceremony {
  return { sessionId, purpose: ADDING };
}

/** Tells the other owners of the person's accounts that a passkey waits for them. */
async function mailOwners(trx: Trx, config: SessionDeps["config"], person: Person, now: Date): Promise<void> {
  for (const { accountId, accountName } of await listMemberships(trx, person.userId)) {
    const owners = await listOwners(trx, accountId);
    for (const owner of owners.filter(({ userId }) => userId !== person.userId))
      await queueMail(trx, passkeyWaitsMail(config, owner, person, accountName), now);
  }
}
