import {
  generateRegistrationOptions,
  type PublicKeyCredentialCreationOptionsJSON,
  type PublicKeyCredentialRequestOptionsJSON,
} from "@simplewebauthn/server";
import { listMemberships, listOwners } from "../accounts/member-service.ts";
import { assertNotFrozen } from "../accounts/service.ts";
import { byPerson, recordAudit } from "../audit/service.ts";
import { readClock } from "../database/clock.ts";
import type { Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { isUuid, newId } from "../lib/ids.ts";
import type { Origin } from "../lib/origin.ts";
import { badField, Problem } from "../lib/problems.ts";
import { SECOND } from "../lib/time.ts";
import { queueMail } from "../mail/service.ts";
import {
  type Actor,
  cookieFor,
  endSessions,
  holdActor,
  inSession,
  markPasswordUnverified,
  renewSession,
} from "../sign-in/service.ts";
import { isActive, useChallenge, userHandleOf } from "./answer-service.ts";
import { type Ceremony, CHALLENGE_SECONDS, newChallenge, readChallenge } from "./challenge.ts";
import { passkeyAddedMail, passkeyRemovedMail, passkeyWaitsMail } from "./mails.ts";
import { ALGORITHMS, readRegistration, verifyRegistration } from "./registration.ts";
import type { SessionDeps } from "./session-deps.ts";
import {
  type Act,
  askToSign,
  isDemanded,
  keptOf,
  proveAct,
  recordRefusedActs,
} from "./signed-act-service.ts";
import * as passkeys from "./store.ts";
import { logRefusal, type PasskeyRefusal } from "./use-service.ts";

export type { PasskeyRow } from "./store.ts";

export const PASSKEYS_AT_MOST = 20;
export const PASSKEY_NAME_AT_MOST = 60;
const ADDING = "passkey:add";
/** What matters begins with this, so that no reset, and no end of the session, comes in between. */
const CHANGING = { fresh: true, changes: "factors" } as const;

export type Person = Actor & { email: string; name: string };

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
 * it. Where an account of theirs confirms with passkeys only, a passkey that counts already signs the new one. Without that,
 * and in a session that is not trusted, it waits for consent (`passkey-trust.ts`), and the owners of their accounts are mailed.
 * @returns whether it counts at once, and the cookie to set; `undefined`: it is no new passkey of theirs, or is known
 * already, and the log says why
 * @throws Problem passkey_limit_reached, account_frozen; as `proveAct` and `holdActor`
 */
export async function addPasskey(
  deps: SessionDeps,
  person: Person,
  { credential, name, signature }: { credential: string; name: string; signature: string | undefined },
  origin: Origin,
): Promise<{ trusted: boolean; cookie: string } | undefined> {
  const { db, keys, relyingParty, config, logger } = deps;
  const refuse = (reason: PasskeyRefusal): undefined => logRefusal({ logger, origin }, reason);
  const registration = readRegistration(credential);
  if (registration === undefined || relyingParty === undefined) return refuse("unreadable");
  const act = addingAct({ credentialId: registration.id, name });
  const add = async (trx: Trx) => {
    const now = await readClock(trx);
    const { clientDataJSON } = registration.response;
    const challenge = readChallenge(keys, addingIn(person), clientDataJSON, now);
    if (challenge === undefined) return refuse("challenge_unknown_or_expired");
    const held = await holdActor(trx, person, { changes: "factors" }, now);
    for (const { accountId } of await listMemberships(trx, person.userId))
      await assertNotFrozen(trx, accountId);
    const checked = await verifyRegistration(relyingParty, registration, challenge.bytes);
    if ("refused" in checked) return refuse(checked.refused);
    const { made } = checked;
    if (!(await useChallenge(trx, challenge))) return refuse("challenge_answered_before");
    if ((await passkeys.listOwnPasskeys(trx, person.userId)).length >= PASSKEYS_AT_MOST)
      throw new Problem("passkey_limit_reached");
    const signing = { act, signature: { credential: signature, origin } };
    const signed = await proveAct(trx, deps, person, held, signing, now);
    const trusted = signed !== undefined || held.trusted;
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
      active_from: trusted ? now : null,
    };
    if (!(await passkeys.insertPasskey(trx, row))) return refuse("known_credential");
    const sessionsEnded = await endSessions(trx, person.userId, person.sessionId);
    const cookie =
      signed?.cookie ?? cookieFor(deps, await renewSession(trx, person, { proved: trusted, trusted }, now));
    const entry = { actor: byPerson(person), subject: { kind: "passkey", id }, origin };
    const after = { name, trusted };
    const detail = { sessionsEnded, ...keptOf(signed) };
    await recordAudit(trx, { ...entry, action: "passkey_added", after, detail }, now);
    await queueMail(trx, passkeyAddedMail(config, person, { name, trusted }), now);
    if (!trusted) await mailOwners(trx, config, person, now);
    return { trusted, cookie };
  };
  return recordRefusedActs(db, person, { act, origin }, () => inTransaction(db, add));
}

/** What a passkey that counts signs of a new one: its credential, and the name that it gets. */
export function addingAct({ credentialId, name }: { credentialId: string; name: string }): Act {
  return {
    action: "passkey",
    terms: { subject: { kind: "passkey", id: credentialId }, from: null, to: { name } },
  };
}

/**
 * What `navigator.credentials.get` is to ask, so that a passkey which counts signs the new one.
 * @throws Problem passkeys_unavailable, passkey_proof_required, bad_request for what is no new passkey
 */
export async function askToSignNew(
  deps: SessionDeps,
  person: Person,
  { credential, name }: { credential: string; name: string },
): Promise<PublicKeyCredentialRequestOptionsJSON> {
  const registration = readRegistration(credential);
  if (registration === undefined) throw badField("credential", "This is no new passkey.");
  return askToSign(deps, person, addingAct({ credentialId: registration.id, name }));
}

/** Gives a passkey of theirs another name. */
export async function renamePasskey(
  { db }: SessionDeps,
  person: Person,
  id: string,
  name: string,
): Promise<void> {
  if (!isUuid(id)) return;
  await inSession(db, person, {}, (trx) => passkeys.renamePasskey(trx, person.userId, id, name));
}

/**
 * Removes a passkey: the person's other sessions end, they are mailed, and the audit has it. Whoever removes one that
 * counts with no more than the password has not shown that they may put another in its place.
 * @returns the cookie to set; `undefined`: they have no such passkey
 * @throws Problem presence_lapsed; as `holdActor`
 */
export async function removePasskey(
  deps: SessionDeps,
  person: Person,
  id: string,
  origin: Origin,
): Promise<string | undefined> {
  return inSession(deps.db, person, CHANGING, async (trx, now, { trusted }) => {
    const passkey = await passkeys.deletePasskey(trx, person.userId, id);
    if (passkey === undefined) return undefined;
    // Nor has a session that was opened with a passkey, where passkeys are demanded: its cookie may have been copied.
    const unvouched = !trusted || (await isDemanded(trx, person.userId));
    if (unvouched && isActive(passkey, now)) await markPasswordUnverified(trx, person.userId, now);
    const sessionsEnded = await endSessions(trx, person.userId, person.sessionId);
    const token = await renewSession(trx, person, { proved: false, trusted: false }, now);
    const entry = { actor: byPerson(person), subject: { kind: "passkey", id }, origin };
    const before = { name: passkey.name };
    await recordAudit(trx, { ...entry, action: "passkey_removed", before, detail: { sessionsEnded } }, now);
    await queueMail(trx, passkeyRemovedMail(deps.config, person, passkey), now);
    return cookieFor(deps, token);
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
