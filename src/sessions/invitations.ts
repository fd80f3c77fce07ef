import { hashPassword } from "better-auth/crypto";
import * as accounts from "../accounts/service.ts";
import { readClock } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { newId } from "../lib/ids.ts";
import { type Caller, type SessionDeps, startSession } from "./service.ts";
import * as store from "./store.ts";
import { assertPasskeysAreTheirs, assertTrusted } from "./trust.ts";

export type { Invitation } from "../accounts/service.ts";

/** What the page behind an invitation shows. */
export type InvitationView = {
  invitation: accounts.Invitation;
  /** Whether the e-mail signs in already: then its person accepts signed in, and no password is set. */
  known: boolean;
};

/** Reads an invitation and changes nothing; `undefined`: unknown, used, replaced or expired, all alike. */
export async function viewInvitation(
  { db }: SessionDeps,
  secret: string,
): Promise<InvitationView | undefined> {
  const invitation = await accounts.readInvitation(db, secret);
  if (invitation === undefined) return undefined;
  return { invitation, known: (await store.findUserByEmail(db, invitation.email)) !== undefined };
}

/**
 * Accepts an invitation for a person who has no sign-in yet: makes it, with their password, in the transaction
 * that uses the invitation up, and signs them in.
 * @returns the cookies to set; `undefined` when the invitation cannot be accepted (now, or by a new person)
 */
export async function acceptAsNewPerson(
  deps: SessionDeps,
  secret: string,
  password: string,
  caller: Caller,
): Promise<string[] | undefined> {
  const view = await viewInvitation(deps, secret);
  if (view === undefined || view.known || view.invitation.waitsForConsent) return undefined;
  const accepted = await joinWithPassword(deps.db, secret, password, caller.address);
  return accepted && startSession(deps, { email: accepted.email, password }, caller);
}

/** Accepts an invitation and makes the sign-in of its person, in one transaction. */
export async function joinWithPassword(
  db: Db,
  secret: string,
  password: string,
  address: string | null,
): Promise<accounts.Invitation | undefined> {
  const hash = await hashPassword(password);
  return inTransaction(db, async (trx) => {
    const now = await readClock(trx);
    const userId = newId();
    const invitation = await accounts.acceptInvitation(trx, secret, userId, now);
    if (invitation === undefined) return undefined;
    const { email, name } = invitation;
    // Two invitations of one person at once: the second one finds them known, and undoes itself.
    if (!(await store.insertUser(trx, { id: userId, email, name }))) throw new AlreadyKnown();
    await store.insertPassword(trx, newId(), userId, hash);
    await store.insertAudit(trx, joined(invitation, userId, address), now);
    return invitation;
  }).catch(unlessKnown);
}

/**
 * Accepts an invitation for the signed-in person whom it names. Never touches their password.
 * @returns the invitation; `undefined` when it cannot be accepted, or names somebody else
 * @throws Problem own_passkey_required, presence_lapsed
 */
export async function acceptAsMember(
  { db }: SessionDeps,
  secret: string,
  person: { userId: string; sessionId: string; email: string },
  address: string,
): Promise<accounts.Invitation | undefined> {
  const named = await accounts.readInvitation(db, secret);
  if (named?.email !== person.email) return undefined;
  return inTransaction(db, async (trx) => {
    const now = await readClock(trx);
    const invitation = await accounts.acceptInvitation(trx, secret, person.userId, now);
    if (invitation === undefined) return undefined;
    await assertPasskeysAreTheirs(trx, person);
    await store.insertAudit(trx, joined(invitation, person.userId, address), now);
    return invitation;
  });
}

type Owner = {
  userId: string;
  sessionId: string;
  memberships: readonly { accountId: string; role: string }[];
};

/** The invitations that wait for this person's consent, in all accounts that they own. */
export async function listWaitingForConsent(
  { db }: SessionDeps,
  { memberships }: Pick<Owner, "memberships">,
): Promise<accounts.Invitation[]> {
  const owned = memberships.filter(({ role }) => role === "owner");
  return (
    await Promise.all(owned.map(({ accountId }) => accounts.listWaitingInvitations(db, accountId)))
  ).flat();
}

/**
 * An owner consents to an invitation, or refuses it. Whoever calls has checked that their proof is fresh.
 * @returns the invitation; `undefined` when it does not wait, or the account is not theirs
 * @throws Problem passkey_proof_required
 */
export async function decideInvitation(
  { db }: SessionDeps,
  owner: Owner,
  { accountId, invitationId, consents }: { accountId: string; invitationId: string; consents: boolean },
  address: string,
): Promise<accounts.Invitation | undefined> {
  return inTransaction(db, async (trx) => {
    const now = await readClock(trx);
    const memberships = await accounts.listMemberships(trx, owner.userId);
    if (!memberships.some((own) => own.accountId === accountId && own.role === "owner")) return undefined;
    await accounts.holdAccount(trx, accountId);
    await assertTrusted(trx, owner, accountId);
    const decision = { userId: owner.userId, consents };
    const invitation = await accounts.decideInvitation(trx, accountId, invitationId, decision, now);
    if (invitation === undefined) return undefined;
    const action = consents ? "invitation_consented" : "invitation_refused";
    const detail = { accountId, memberId: invitation.memberId, role: invitation.role };
    await store.insertAudit(trx, { id: newId(), userId: owner.userId, action, detail, address }, now);
    return invitation;
  });
}

class AlreadyKnown extends Error {}

function unlessKnown(error: unknown): undefined {
  if (error instanceof AlreadyKnown) return undefined;
  throw error;
}

function joined(invitation: accounts.Invitation, userId: string, address: string | null): store.AuditEntry {
  const { accountId, memberId, role } = invitation;
  return { id: newId(), userId, action: "joined_account", detail: { accountId, memberId, role }, address };
}
