import type { PublicKeyCredentialRequestOptionsJSON } from "@simplewebauthn/server";
import { listMembers, listMemberships, listOwners } from "../accounts/member-service.ts";
import { may } from "../accounts/roles.ts";
import { assertNotFrozen } from "../accounts/service.ts";
import { byPerson, recordAudit } from "../audit/service.ts";
import { readClock } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import type { MemberRole } from "../database/schema.ts";
import { inTransaction } from "../database/transaction.ts";
import { isUuid } from "../lib/ids.ts";
import { NO_ORIGIN, type Origin } from "../lib/origin.ts";
import { Problem } from "../lib/problems.ts";
import { addSeconds, DAY_SECONDS } from "../lib/time.ts";
import { queueMail } from "../mail/service.ts";
import {
  type Actor,
  cookieFor,
  findPerson,
  findPersonByEmail,
  type Held,
  inSession,
  isFresh,
  renewSession,
  type SessionConfig,
} from "../sign-in/service.ts";
import { askForAnswer, checkAnswer, isActive } from "./answer-service.ts";
import { readAssertion } from "./assertion.ts";
import type { Ceremony } from "./challenge.ts";
import * as consents from "./consent-store.ts";
import { passkeyOpenedMail, passkeyTrustedMail } from "./mails.ts";
import type { SessionDeps } from "./session-deps.ts";
import { type Act, recordRefusedActs } from "./signed-act-service.ts";
import { listPasskeys } from "./store.ts";

/*
 * A session is trusted if a passkey that counts was used in it; or by the password, of somebody who has no such passkey
 * and whose password no link has set. What is added in any other session signs in, and counts for no more than a
 * password: not before an owner of each of the person's accounts has consented to it, or a day after the operator has
 * opened it. `passkeys.active_from` says from when on it counts; whoever co-signs is given passkeys that do, by
 * `passkey-store.ts`, and no others.
 */

const OPENS_AFTER_SECONDS = DAY_SECONDS;

type Owner = Actor & {
  name: string;
  memberships: readonly { accountId: string; accountName: string; role: MemberRole }[];
};

/** Which passkey, and as an owner of which account. */
export type Consent = { accountId: string; passkeyId: string };

/** A member's passkey that waits for an owner. */
export type WaitingPasskey = Consent & {
  accountName: string;
  passkeyName: string;
  email: string;
  name: string;
  addedAt: Date;
  opensAt: Date | null;
  /** Whether an owner of this account has consented, and another account's has not yet. */
  consented: boolean;
};

/** The passkeys that wait for this person, in all accounts that they own. Nobody consents to their own. */
export async function listWaitingPasskeys(
  { db }: SessionDeps,
  { userId, memberships }: Owner,
): Promise<WaitingPasskey[]> {
  const owned = memberships.filter(({ role }) => may(role, "own"));
  return (await Promise.all(owned.map((account) => listInAccount(db, userId, account)))).flat();
}

async function listInAccount(
  db: Db,
  userId: string,
  { accountId, accountName }: { accountId: string; accountName: string },
): Promise<WaitingPasskey[]> {
  const members = (await listMembers(db, accountId)).filter(
    (member) => member.status === "active" && member.userId !== userId,
  );
  const people = new Map(members.map((member) => [member.userId, member]));
  const waiting = await consents.listWaiting(
    db,
    members.flatMap((member) => member.userId ?? []),
  );
  const given = await listStanding(
    db,
    accountId,
    waiting.map(({ id }) => id),
  );
  return waiting.flatMap(({ id, userId: whose, name: passkeyName, addedAt, opensAt }) => {
    const member = people.get(whose);
    if (member === undefined) return [];
    const { email, name } = member;
    const consented = given.has(id);
    return { accountId, accountName, passkeyId: id, passkeyName, email, name, addedAt, opensAt, consented };
  });
}

/** Whether the owner consents by a passkey, as they have one that counts. */
export async function consentsByPasskey({ db }: SessionDeps, { userId }: Owner): Promise<boolean> {
  return (await listPasskeys(db, userId)).length > 0;
}

/** What `navigator.credentials.get` is to ask an owner who consents: the challenge says to which passkey. */
export async function askForConsent(
  deps: SessionDeps,
  owner: Owner,
  consent: Consent,
): Promise<PublicKeyCredentialRequestOptionsJSON> {
  return askForAnswer(deps, consenting(owner, consent), await listPasskeys(deps.db, owner.userId));
}

/**
 * An owner consents to a member's passkey: by their own, whose answer is kept with the consent, or, if they have none
 * that counts, by a proof younger than 5 minutes. It counts once an owner of each of the member's accounts has.
 * @returns `undefined`: it waits no more; else whether it counts now, and the cookie to set after a passkey's proof
 * @throws Problem presence_lapsed, passkey_proof_required, passkey_refused, account_frozen; as `holdActor`
 */
export async function consentToPasskey(
  deps: SessionDeps,
  owner: Owner,
  consent: Consent,
  credential: string | undefined,
  origin: Origin,
): Promise<{ counts: boolean; cookie?: string } | undefined> {
  const need = { changes: "token", account: mayOwn(consent) } as const;
  const act: Act = {
    action: "passkey",
    accountId: consent.accountId,
    terms: {
      subject: { kind: "passkey", id: consent.passkeyId },
      from: { active: false },
      to: { active: true },
    },
  };
  const work = async (trx: Trx, now: Date, held: Held) => {
    const passkey = await holdWaiting(trx, consent);
    if (passkey === undefined || passkey.userId === owner.userId) return undefined;
    await assertNotFrozen(trx, consent.accountId);
    const proof = await proveOwner(trx, deps, held, owner, consent, { credential, origin }, now);
    await consents.insertConsent(trx, { ...consent, userId: owner.userId }, now);
    const { accountId } = consent;
    const subject = { kind: "passkey", id: passkey.id };
    const entry = { accountId, actor: byPerson(owner), subject, origin };
    const detail = { ofUser: passkey.userId, proof };
    await recordAudit(trx, { ...entry, action: "passkey_consented", detail }, now);
    const token =
      proof.kind === "passkey"
        ? await renewSession(trx, owner, { proved: true, trusted: true }, now)
        : undefined;
    const cookie = token && { cookie: cookieFor(deps, token) };
    if (!(await isAgreed(trx, passkey))) return { counts: false, ...cookie };
    await consents.trustFrom(trx, passkey.id, now);
    const person = await findPerson(trx, passkey.userId);
    if (person !== undefined) await queueMail(trx, passkeyTrustedMail(deps.config, person), now);
    return { counts: true, ...cookie };
  };
  return recordRefusedActs(deps.db, owner, { act, origin }, () => inSession(deps.db, owner, need, work));
}

/**
 * An owner stops what the operator has opened, before it counts. Any owner may, without a further proof.
 * @returns `false`: it is not opened, or counts already
 * @throws as `holdActor`
 */
export async function stopPasskey(
  { db }: SessionDeps,
  owner: Owner,
  consent: Consent,
  origin: Origin,
): Promise<boolean> {
  return inSession(db, owner, { account: mayOwn(consent) }, async (trx, now) => {
    const passkey = await holdWaiting(trx, consent);
    if (passkey === undefined || passkey.opensAt === null) return false;
    await consents.trustFrom(trx, passkey.id, null);
    const { accountId } = consent;
    const subject = { kind: "passkey", id: passkey.id };
    const detail = { ofUser: passkey.userId };
    const entry = { accountId, actor: byPerson(owner), subject, detail, origin };
    await recordAudit(trx, { ...entry, action: "passkey_stopped" }, now);
    return true;
  });
}

export type Opened = { from: Date; passkeys: string[]; told: string[] };

/**
 * The operator opens the way for a person whom no owner can vouch for: the passkeys that wait count in 24 hours. All
 * owners of their accounts are mailed now, and can stop it.
 * @returns from when on, which, and who was mailed; `undefined`: nobody of that e-mail has a passkey that waits
 */
export async function openPasskeys(
  { db, config }: { db: Db; config: SessionConfig },
  email: string,
): Promise<Opened | undefined> {
  return inTransaction(db, async (trx) => {
    const now = await readClock(trx);
    const person = await findPersonByEmail(trx, email);
    const waiting = person === undefined ? [] : await consents.listWaiting(trx, [person.id]);
    const closed = waiting.filter(({ opensAt }) => opensAt === null);
    if (person === undefined || closed.length === 0) return undefined;
    const from = addSeconds(now, OPENS_AFTER_SECONDS);
    for (const { id } of closed) await consents.trustFrom(trx, id, from);
    const told = new Map([[person.email, person as { email: string; name: string }]]);
    for (const { accountId } of await listMemberships(trx, person.id))
      for (const owner of await listOwners(trx, accountId)) told.set(owner.email, owner);
    for (const to of told.values()) await queueMail(trx, passkeyOpenedMail(config, to, person, from), now);
    const detail = { passkeyIds: closed.map(({ id }) => id), from: from.toISOString() };
    const entry = { actor: { kind: "service" }, ofUser: person.id, action: "passkeys_opened" } as const;
    const subject = { kind: "person", id: person.id };
    await recordAudit(trx, { ...entry, subject, detail, origin: NO_ORIGIN }, now);
    return { from, passkeys: closed.map(({ name }) => name), told: [...told.keys()] };
  });
}

function mayOwn({ accountId }: Consent) {
  return { id: accountId, may: "own", alone: true } as const;
}

/** The passkey, held, if whose it is belongs to the account, which whoever calls holds. */
async function holdWaiting(
  trx: Trx,
  { accountId, passkeyId }: Consent,
): Promise<consents.WaitingRow | undefined> {
  const passkey = isUuid(passkeyId) ? await consents.lockWaiting(trx, passkeyId) : undefined;
  if (passkey === undefined) return undefined;
  const theirs = await listMemberships(trx, passkey.userId);
  return theirs.some((member) => member.accountId === accountId) ? passkey : undefined;
}

/** What is kept of how the owner showed that it is them. */
async function proveOwner(
  trx: Trx,
  deps: SessionDeps,
  session: Held,
  owner: Owner,
  consent: Consent,
  { credential, origin }: { credential: string | undefined; origin: Origin },
  now: Date,
): Promise<{ kind: "password" | "passkey"; [detail: string]: unknown }> {
  if ((await listPasskeys(trx, owner.userId)).length === 0) {
    if (!session.trusted) throw new Problem("passkey_proof_required");
    if (!isFresh(session, now)) throw new Problem("presence_lapsed");
    const provedAt = session.provedAt.toISOString();
    return { kind: "password", provedAt };
  }
  const assertion = readAssertion(credential ?? "");
  const ceremony = consenting(owner, consent);
  const passkey = await checkAnswer(trx, deps, { ceremony, userId: owner.userId, origin }, assertion, now);
  if (assertion === undefined || passkey === undefined || !isActive(passkey, now))
    throw new Problem("passkey_refused");
  const { purpose } = ceremony;
  const publicKey = passkey.public_key.toString("base64url");
  return { kind: "passkey", purpose, credentialId: assertion.id, publicKey, ...assertion.response };
}

/** Whether an owner of each account has consented that the person belongs to. */
async function isAgreed(trx: Trx, { id, userId }: consents.WaitingRow): Promise<boolean> {
  for (const { accountId } of await listMemberships(trx, userId))
    if (!(await listStanding(trx, accountId, [id])).has(id)) return false;
  return true;
}

/** Which of the passkeys an owner of the account has consented to. Whoever owns it no more vouches for nobody. */
async function listStanding(db: Db, accountId: string, passkeyIds: readonly string[]): Promise<Set<string>> {
  const owners = new Set((await listOwners(db, accountId)).map(({ userId }) => userId));
  const given = await consents.listConsents(db, passkeyIds);
  const standing = given.filter((one) => one.accountId === accountId && owners.has(one.userId));
  return new Set(standing.map(({ passkeyId }) => passkeyId));
}

function consenting({ sessionId }: Owner, { accountId, passkeyId }: Consent): Ceremony {
  return { sessionId, purpose: `passkey:consent:${accountId}:${passkeyId}` };
}
