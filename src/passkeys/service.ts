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
  cookieFor,
  endSessions,
  holdActor,
  inSession,
  markPasswordUnverified,
  type Person,
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
/** What changing a factor needs: held from the start, so that no reset and no end of the session intervenes. */
const CHANGING = { fresh: true, changes: "factors" } as const;

/** All passkeys of the person, inactive ones too, oldest first. */
export function listOwnPasskeys({ db }: SessionDeps, userId: string): Promise<passkeys.PasskeyRow[]> {
  return passkeys.listOwnPasskeys(db, userId);
}

/**
 * The options of `navigator.credentials.create`: a passkey that signs in without an email and verifies its user each
 * time. The challenge is valid in this session.
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
 * Adds a passkey that an authenticator has created. Ends the person's other sessions, mails them and records an audit
 * entry. Where an account of theirs confirms with passkeys only, an active passkey signs the new one. Without that
 * signature, and in a session that is not trusted, the new passkey stays inactive until owners consent
 * (`activation-service.ts`), and they are mailed.
 * @returns whether it is active at once, and the cookie to set; `undefined` when it is refused or known already, and
 * the log says why
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
  const add = async (trx: Trx, now: Date) => {
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

/** What an active passkey signs to add a new one: its credential and its name. */
export function addingAct({ credentialId, name }: { credentialId: string; name: string }): Act {
  return {
    action: "passkey",
    terms: { subject: { kind: "passkey", id: credentialId }, from: null, to: { name } },
  };
}

/**
 * The options of `navigator.credentials.get` for an active passkey to sign the new one.
 * @throws Problem passkeys_unavailable, passkey_proof_required, bad_request when the credential is no new passkey
 */
export async function askToSignNew(
  deps: SessionDeps,
  person: Person,
  { credential, name }: { credential: string; name: string },
): Promise<PublicKeyCredentialRequestOptionsJSON> {
  const registration = readRegistration(credential);
  if (registration === undefined) throw badField("credential", "This isn’t a new passkey. Create one again.");
  return askToSign(deps, person, addingAct({ credentialId: registration.id, name }));
}

/** Renames one of the person's passkeys. */
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
 * Removes a passkey, ends the person's other sessions, mails them and records an audit entry. After an active passkey
 * was removed with no more than the password, the password no longer verifies the person: a new passkey needs
 * consent.
 * @returns the cookie to set; `undefined` when they have no such passkey
 * @throws Problem presence_expired; as `holdActor`
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
    // Where passkeys are demanded, a session opened with one is not enough either: its cookie may have been copied.
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

/** A default name for a new passkey: the system that it is created on. */
export function passkeyName(userAgent: string): string {
  const system = SYSTEMS.find(([sign]) => userAgent.includes(sign))?.[1];
  return system === undefined ? "Passkey" : `Passkey on ${system}`;
}

/** In this order, as Android and ChromeOS also report Linux. */
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

/** Mails the other owners of the person's accounts that a passkey needs their consent. */
async function mailOwners(trx: Trx, config: SessionDeps["config"], person: Person, now: Date): Promise<void> {
  for (const { accountId, accountName } of await listMemberships(trx, person.userId)) {
    const owners = await listOwners(trx, accountId);
    for (const owner of owners.filter(({ userId }) => userId !== person.userId))
      await queueMail(trx, passkeyWaitsMail(config, owner, person, accountName), now);
  }
}
