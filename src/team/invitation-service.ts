import * as invitations from "../accounts/invitation-service.ts";
import { may } from "../accounts/roles.ts";
import { byPerson, type NewEntry, recordAudit } from "../audit/service.ts";
import type { Db, Trx } from "../database/connection.ts";
import type { MemberRole } from "../database/schema.ts";
import { inTransaction } from "../database/transaction.ts";
import type { Origin } from "../lib/origin.ts";
import { assertPasskeysAreTheirs } from "../passkeys/ownership-service.ts";
import type { SessionDeps } from "../passkeys/session-deps.ts";
import {
  type Act,
  keptOf,
  proveAct,
  recordRefusedActs,
  type Signature,
} from "../passkeys/signed-act-service.ts";
import {
  type Actor,
  addPerson,
  type Caller,
  cookieFor,
  findPersonByEmail,
  type Held,
  hashInTurn,
  inSession,
  type Person,
  startSession,
} from "../sign-in/service.ts";
import { announceMember } from "./joining-service.ts";
import { askForSecondPerson, needsSecondPerson } from "./pending-service.ts";

export type { Invitation } from "../accounts/invitation-service.ts";

/** What the page behind an invitation shows. */
export type InvitationView = {
  invitation: invitations.Invitation;
  /** Whether the email has a sign-in already. Its person then accepts while signed in, and sets no password. */
  known: boolean;
};

/** Reads an invitation; changes nothing. @returns `undefined` when it is unknown, used, replaced or expired */
export async function viewInvitation(
  { db }: SessionDeps,
  secret: string,
): Promise<InvitationView | undefined> {
  const invitation = await invitations.readInvitation(db, secret);
  if (invitation === undefined) return undefined;
  return { invitation, known: (await findPersonByEmail(db, invitation.email)) !== undefined };
}

/**
 * Accepts an invitation for a person without a sign-in. Creates the person with their password and signs them in, in
 * the transaction that uses the invitation up.
 * @returns the cookie to set; `undefined` when the invitation cannot be accepted now, or not by a new person
 * @throws Problem unavailable {retryAfterSeconds}
 */
export async function acceptAsNewPerson(
  deps: SessionDeps,
  secret: string,
  password: string,
  caller: Caller,
): Promise<string | undefined> {
  const view = await viewInvitation(deps, secret);
  if (view === undefined || view.known || view.invitation.waitsForConsent) return undefined;
  const hash = await hashInTurn(deps, "stranger", password);
  return inTransaction(deps.db, async (trx, now) => {
    const { person, invitation } = await join(trx, secret, hash, caller.origin, now);
    const token = await startSession(trx, person, caller, { by: "invitation", trusted: false }, now);
    await announceMember(trx, invitation, now);
    return cookieFor(deps, token);
  }).catch(unlessOver);
}

/**
 * Accepts an invitation and creates its person, in one transaction, for the demo.
 * @param hash of their password
 */
export async function joinWithPassword(db: Db, secret: string, hash: string, origin: Origin): Promise<void> {
  await inTransaction(db, async (trx, now) => {
    const { invitation } = await join(trx, secret, hash, origin, now);
    await announceMember(trx, invitation, now);
  }).catch(unlessOver);
}

/** @throws InvitationOver when it is no longer open, or two invitations of one person are accepted at once */
async function join(trx: Trx, secret: string, hash: string, origin: Origin, now: Date) {
  const invited = await invitations.readInvitation(trx, secret);
  if (invited === undefined) throw new InvitationOver();
  const { email, name } = invited;
  const userId = await addPerson(trx, { email, name, hash }, now);
  if (userId === undefined) throw new InvitationOver();
  const invitation = await invitations.acceptInvitation(trx, secret, userId, now);
  if (invitation === undefined) throw new InvitationOver();
  const person = { userId, name };
  await recordAudit(trx, joined(invitation, person, origin), now);
  return { person, invitation };
}

/**
 * Accepts an invitation for the signed-in person whom it names. Leaves their password as it is.
 * @returns the invitation; `undefined` when it cannot be accepted, or names another person
 * @throws Problem own_passkey_required; as `holdActor`
 */
export async function acceptAsMember(
  { db }: SessionDeps,
  secret: string,
  person: Person,
  origin: Origin,
): Promise<invitations.Invitation | undefined> {
  const named = await invitations.readInvitation(db, secret);
  if (named?.email !== person.email) return undefined;
  return inSession(db, person, {}, async (trx, now, held) => {
    const invitation = await invitations.acceptInvitation(trx, secret, person.userId, now);
    if (invitation === undefined) return undefined;
    await assertPasskeysAreTheirs(trx, held, person.userId);
    await recordAudit(trx, joined(invitation, person, origin), now);
    await announceMember(trx, invitation, now);
    return invitation;
  });
}

type Owner = Actor & {
  name: string;
  memberships: readonly { accountId: string; role: MemberRole }[];
};

/** The invitations that need an owner's consent, in all accounts that the person owns. */
export async function listWaitingForConsent(
  { db }: SessionDeps,
  { memberships }: Pick<Owner, "memberships">,
): Promise<invitations.Invitation[]> {
  const owned = memberships.filter(({ role }) => may(role, "own"));
  return (
    await Promise.all(owned.map(({ accountId }) => invitations.listWaitingInvitations(db, accountId)))
  ).flat();
}

/**
 * Records an owner's consent to an invitation, or their refusal. Where the account confirms with passkeys only, their
 * passkey signs the consent.
 * @param asked.role the role that the owner was shown
 * @returns the invitation; `undefined` when it needs no consent, or names another role by now; `pending`: a second
 * person must agree first
 * @throws Problem presence_expired; as `proveAct` and `holdActor`
 */
export async function decideInvitation(
  deps: SessionDeps,
  owner: Owner,
  asked: { accountId: string; invitationId: string; role: MemberRole; consents: boolean },
  signature: Signature,
): Promise<{ invitation: invitations.Invitation | undefined; cookie: string | undefined; pending?: true }> {
  const { accountId, invitationId, role, consents } = asked;
  const need = {
    fresh: !consents,
    changes: "token",
    account: { id: accountId, may: "own", alone: true, unfrozen: consents },
  } as const;
  const shown = await findWaiting(deps.db, accountId, invitationId);
  if (shown?.role !== role) return { invitation: undefined, cookie: undefined };
  const act = consentAct(shown);
  const { origin } = signature;
  const decide = async (trx: Trx, now: Date, held: Held) => {
    const signed = consents ? await proveAct(trx, deps, owner, held, { act, signature }, now) : undefined;
    const cookie = signed?.cookie;
    const present = await findWaiting(trx, accountId, invitationId);
    if (present?.role !== role) return { invitation: undefined, cookie };
    if (consents && (await needsSecondPerson(trx, accountId, owner.userId, { operatorAsks: true }))) {
      const account = { accountId, accountName: present.accountName };
      const request = { kind: "consent", invitationId, role } as const;
      const kept = keptOf(signed);
      await askForSecondPerson(trx, deps.config, { account, by: owner, act, request, kept, origin }, now);
      return { invitation: present, cookie, pending: true as const };
    }
    const step = { trx, now, owner, account: { accountId }, origin, proof: keptOf(signed) };
    return { invitation: await decideNow(step, { invitationId, role, consents }, owner.userId), cookie };
  };
  return recordRefusedActs(deps.db, owner, { act, origin }, () => inSession(deps.db, owner, need, decide));
}

type Step = {
  trx: Trx;
  now: Date;
  owner: { userId: string; name: string };
  account: { accountId: string };
  origin: Origin;
  proof: object;
};

/**
 * Consents to an invitation, in the transaction of the last person who must agree.
 * @param owner the user id of the owner who consents
 */
export function consentNow(
  step: Step,
  asked: { invitationId: string; role: MemberRole },
  owner: string,
): Promise<invitations.Invitation | undefined> {
  return decideNow(step, { ...asked, consents: true }, owner);
}

async function decideNow(
  { trx, now, owner: actor, account: { accountId }, origin, proof }: Step,
  { invitationId, role, consents }: { invitationId: string; role: MemberRole; consents: boolean },
  owner: string,
): Promise<invitations.Invitation | undefined> {
  const decision = { userId: owner, consents, role };
  const invitation = await invitations.decideInvitation(trx, accountId, invitationId, decision, now);
  if (invitation === undefined) return undefined;
  const action = consents ? "invitation_consented" : "invitation_refused";
  const subject = { kind: "member", id: invitation.memberId };
  const detail = { role, ...proof };
  await recordAudit(trx, { accountId, actor: byPerson(actor), action, subject, detail, origin }, now);
  return invitation;
}

/** An invitation that needs an owner's consent; `undefined` when it does not. */
export async function findWaiting(
  db: Db,
  accountId: string,
  invitationId: string,
): Promise<invitations.Invitation | undefined> {
  const waiting = await invitations.listWaitingInvitations(db, accountId);
  return waiting.find((one) => one.invitationId === invitationId);
}

/** What an owner signs to consent to an invitation. Names the role, as the operator may have changed it since. */
export function consentAct({ accountId, invitationId: id, name, email, role }: invitations.Invitation): Act {
  const terms = { subject: { kind: "invitation", id }, from: null, to: { name, email, role } };
  return { action: "member", accountId, terms };
}

class InvitationOver extends Error {}

function unlessOver(error: unknown): undefined {
  if (error instanceof InvitationOver) return undefined;
  throw error;
}

function joined(
  { accountId, memberId, role }: invitations.Invitation,
  person: { userId: string; name: string },
  origin: Origin,
): NewEntry {
  const subject = { kind: "member", id: memberId };
  return { accountId, actor: byPerson(person), action: "joined_account", subject, after: { role }, origin };
}
