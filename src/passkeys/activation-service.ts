import type { PublicKeyCredentialRequestOptionsJSON } from "@simplewebauthn/server";
import { listMembers, listMemberships, listOwners } from "../accounts/member-service.ts";
import { may } from "../accounts/roles.ts";
import { assertNotFrozen } from "../accounts/service.ts";
import { byPerson, recordAudit } from "../audit/service.ts";
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
 * A session is trusted when an active passkey was used in it. A session by password is trusted when the person has no
 * active passkey and no mailed link has set the password. A passkey added in any other session is inactive: it signs in,
 * but confirms nothing. It becomes active once an owner of each of the person's accounts has consented to it, or a day
 * after the operator has opened it. `passkeys.active_from` holds that time; `store.ts` offers only active passkeys for
 * co-signing.
 */

const OPENS_AFTER_SECONDS = DAY_SECONDS;

type Owner = Actor & {
  name: string;
  memberships: readonly { accountId: string; accountName: string; role: MemberRole }[];
};

/** A passkey, and the account for which an owner consents to it. */
export type Consent = { accountId: string; passkeyId: string };

/** A member's passkey that is inactive until owners consent. */
export type WaitingPasskey = Consent & {
  accountName: string;
  passkeyName: string;
  email: string;
  name: string;
  addedAt: Date;
  opensAt: Date | null;
  /** Whether an owner of this account has consented, while another account's consent is missing. */
  consented: boolean;
};

/**
 * The inactive passkeys of other members, in all accounts that the person owns. A person cannot consent to their own.
 */
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

/** Whether the owner consents by passkey, as they have an active one. */
export async function consentsByPasskey({ db }: SessionDeps, { userId }: Owner): Promise<boolean> {
  return (await listPasskeys(db, userId)).length > 0;
}

/** The options of `navigator.credentials.get` for an owner who consents. The challenge names the passkey. */
export async function askForConsent(
  deps: SessionDeps,
  owner: Owner,
  consent: Consent,
): Promise<PublicKeyCredentialRequestOptionsJSON> {
  return askForAnswer(deps, consenting(owner, consent), await listPasskeys(deps.db, owner.userId));
}

/**
 * Records an owner's consent to a member's passkey. The owner signs with an active passkey of their own, and the
 * answer is kept with the consent. Without one, they need a proof of presence younger than 5 minutes. The passkey
 * becomes active once an owner of each of the member's accounts has consented.
 * @returns `undefined` when the passkey no longer waits; otherwise whether it is active now, and the cookie to set
 * after a passkey's proof
 * @throws Problem presence_expired, passkey_proof_required, passkey_refused, account_frozen; as `holdActor`
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
    await consents.setActiveFrom(trx, passkey.id, now);
    const person = await findPerson(trx, passkey.userId);
    if (person !== undefined) await queueMail(trx, passkeyTrustedMail(deps.config, person), now);
    return { counts: true, ...cookie };
  };
  return recordRefusedActs(deps.db, owner, { act, origin }, () => inSession(deps.db, owner, need, work));
}

/**
 * An owner stops a passkey that the operator has opened, before it becomes active. Needs no further proof.
 * @returns `false` when it is not opened, or is active already
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
    await consents.setActiveFrom(trx, passkey.id, null);
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
 * The operator opens the inactive passkeys of a person for whom no owner can vouch: they become active in 24 hours.
 * Mails the person and all owners of their accounts, who can stop it.
 * @returns the time, the passkeys and who was mailed; `undefined` when no person of that email has an inactive
 * passkey
 */
export async function openPasskeys(
  { db, config }: { db: Db; config: SessionConfig },
  email: string,
): Promise<Opened | undefined> {
  return inTransaction(db, async (trx, now) => {
    const person = await findPersonByEmail(trx, email);
    const waiting = person === undefined ? [] : await consents.listWaiting(trx, [person.id]);
    const closed = waiting.filter(({ opensAt }) => opensAt === null);
    if (person === undefined || closed.length === 0) return undefined;
    const from = addSeconds(now, OPENS_AFTER_SECONDS);
    for (const { id } of closed) await consents.setActiveFrom(trx, id, from);
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

/** The passkey, locked, if its person belongs to the account. The caller holds the account. */
async function holdWaiting(
  trx: Trx,
  { accountId, passkeyId }: Consent,
): Promise<consents.WaitingRow | undefined> {
  const passkey = isUuid(passkeyId) ? await consents.lockWaiting(trx, passkeyId) : undefined;
  if (passkey === undefined) return undefined;
  const theirs = await listMemberships(trx, passkey.userId);
  return theirs.some((member) => member.accountId === accountId) ? passkey : undefined;
}

/** Checks the owner's proof. @returns what the audit entry keeps of it */
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
    if (!isFresh(session, now)) throw new Problem("presence_expired");
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

/** Whether an owner of each of the person's accounts has consented. */
async function isAgreed(trx: Trx, { id, userId }: consents.WaitingRow): Promise<boolean> {
  for (const { accountId } of await listMemberships(trx, userId))
    if (!(await listStanding(trx, accountId, [id])).has(id)) return false;
  return true;
}

/** The passkeys to which a current owner of the account has consented. A consent of a former owner no longer counts. */
async function listStanding(db: Db, accountId: string, passkeyIds: readonly string[]): Promise<Set<string>> {
  const owners = new Set((await listOwners(db, accountId)).map(({ userId }) => userId));
  const given = await consents.listConsents(db, passkeyIds);
  const standing = given.filter((one) => one.accountId === accountId && owners.has(one.userId));
  return new Set(standing.map(({ passkeyId }) => passkeyId));
}

function consenting({ sessionId }: Owner, { accountId, passkeyId }: Consent): Ceremony {
  return { sessionId, purpose: `passkey:consent:${accountId}:${passkeyId}` };
}
