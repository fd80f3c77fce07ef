import { type Act, recordAudit } from "../audit/service.ts";
import { readClock } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import type { MemberRole } from "../database/schema.ts";
import { inTransaction } from "../database/transaction.ts";
import { nameOf } from "../lib/fields.ts";
import { newId } from "../lib/ids.ts";
import { Problem } from "../lib/problems.ts";
import { newSecret, readSecret } from "../lib/secrets.ts";
import { addSeconds, DAY_SECONDS } from "../lib/time.ts";
import * as invitations from "./invitation-store.ts";
import * as members from "./member-store.ts";
import { findRegistrationToken } from "./ownership-store.ts";
import { may, mayDecide } from "./roles.ts";
import { assertNotFrozen } from "./service.ts";
import { claimAccount, lockAccount } from "./store.ts";
import { listWithDescendants, revokeTokens } from "./token-store.ts";

const INVITATION_PREFIX = "ot_inv_";
const INVITATION_TTL_SECONDS = DAY_SECONDS;

/**
 * Invites a person into the account, for the operator. A new invitation replaces an earlier one.
 * @returns the member and the secret of the invitation, which expires after 24 h and is shown only once
 * @throws Problem member_active when they have accepted already
 */
export async function inviteMember(
  db: Db,
  accountId: string,
  person: { email: string; name: string; role: MemberRole },
  act: Act,
): Promise<{ member: members.MemberRow; secret: string }> {
  return inTransaction(db, async (trx, now) => {
    await lockAccount(trx, accountId);
    const invited = await insertInvitation(trx, accountId, person, undefined, now);
    const { id, email, name, role } = invited.member;
    const entry = {
      action: "member_invited" as const,
      subject: { kind: "member", id },
      after: { email, name, role },
    };
    await recordAudit(trx, { accountId, ...act, ...entry }, now);
    return invited;
  });
}

/**
 * Invites a person within a transaction that holds the account.
 * @param consentedBy the user id of the owner who invites: their invitation needs no further consent
 * @throws Problem bad_request {field: "name"}, account_frozen, member_active when they have accepted already
 */
export async function insertInvitation(
  trx: Trx,
  accountId: string,
  person: { email: string; name: string; role: MemberRole },
  consentedBy: string | undefined,
  now: Date,
): Promise<{ member: members.MemberRow; secret: string }> {
  nameOf("name", person.name);
  await assertNotFrozen(trx, accountId);
  const email = person.email.toLowerCase();
  const present = await members.findMemberByEmail(trx, accountId, email);
  if (present?.status === "active") throw new Problem("member_active", { memberId: present.id });
  const values = { ...person, email, id: present?.id ?? newId() };
  const member = await (present === undefined
    ? members.insertMember(trx, accountId, values, now)
    : members.updateMember(
        trx,
        accountId,
        present.id,
        ["invited"],
        { name: person.name, role: person.role },
        now,
      ));
  if (member === undefined) throw new TypeError("the member was not locked");
  const secret = newSecret(INVITATION_PREFIX, accountId);
  const expiresAt = addSeconds(now, INVITATION_TTL_SECONDS);
  const invitation = { id: newId(), memberId: member.id, digest: secret.digest, expiresAt };
  await invitations.replaceInvitation(trx, accountId, invitation, now);
  if (consentedBy !== undefined)
    await invitations.consentToInvitation(trx, accountId, invitation.id, consentedBy, now);
  return { member, secret: secret.value };
}

/** An invitation that can be accepted, now or once an owner has consented. */
export type Invitation = Pick<
  invitations.InvitationRow,
  "accountId" | "organizationId" | "accountName" | "invitationId" | "memberId" | "email" | "name" | "role"
> & {
  /** Once an account has an owner, new owners and approvers wait for an owner's consent (docs/contract.md §8). */
  waitsForConsent: boolean;
};

/** Whether it has the form of an invitation's secret. */
export function isInvitationSecret(value: string): boolean {
  return readSecret(INVITATION_PREFIX, value) !== undefined;
}

/** The invitation behind a secret; `undefined` when it is unknown, used, replaced or expired, all alike. */
export async function readInvitation(db: Db, secret: string): Promise<Invitation | undefined> {
  const credential = readSecret(INVITATION_PREFIX, secret);
  const row = credential && (await invitations.findInvitation(db, credential));
  return row && toOpenInvitation(row, await readClock(db));
}

/**
 * Accepts an invitation, once: the member becomes active. Its first owner claims the account (docs/contract.md
 * §6), which revokes the tokens that an agent has held until then. Locks the account, so that two acceptances cannot both
 * skip the owner's consent.
 * @param userId the person's sign-in, which `trx` may have created
 * @returns the accepted invitation, and whether it claimed the account; `undefined` when it is no longer open, or waits
 * for consent
 * @throws Problem account_frozen
 */
export async function acceptInvitation(
  trx: Trx,
  secret: string,
  userId: string,
  now: Date,
): Promise<(Invitation & { claimed: boolean }) | undefined> {
  const credential = readSecret(INVITATION_PREFIX, secret);
  if (credential === undefined) return undefined;
  const { accountId } = credential;
  await lockAccount(trx, accountId);
  await assertNotFrozen(trx, accountId);
  const row = await invitations.findInvitation(trx, credential);
  const invitation = row && toOpenInvitation(row, now);
  if (row === undefined || invitation === undefined || invitation.waitsForConsent) return undefined;
  if (!(await invitations.useInvitation(trx, accountId, row.invitationId, now))) return undefined;
  const member = await members.updateMember(
    trx,
    accountId,
    row.memberId,
    ["invited"],
    { status: "active", user_id: userId },
    now,
  );
  if (member === undefined) throw new TypeError("the member was not locked");
  const claimed = may(row.role, "own") && !row.hasOwner;
  if (claimed) await claimByInvitation(trx, accountId, now);
  return { ...invitation, claimed };
}

/** Revokes the token that an agent registered with, and its descendants. Tokens that the operator minted stay. */
async function claimByInvitation(trx: Trx, accountId: string, now: Date): Promise<void> {
  const began = await findRegistrationToken(trx, accountId);
  const family = began === undefined ? [] : await listWithDescendants(trx, accountId, [began]);
  await revokeTokens(trx, accountId, family, now);
  await claimAccount(trx, accountId, now);
}

/** The account's invitations that wait for an owner's consent. */
export async function listWaitingInvitations(db: Db, accountId: string): Promise<Invitation[]> {
  const now = await readClock(db);
  return (await invitations.listOpenInvitations(db, accountId, now))
    .map((row) => toOpenInvitation(row, now))
    .filter((invitation) => invitation !== undefined)
    .filter(({ waitsForConsent }) => waitsForConsent);
}

/**
 * Records an owner's consent to an invitation, or refuses it: then it is used up, and the member removed.
 * The caller has checked that `userId` is an owner of the account.
 * @param decision.role the role that the owner was shown
 * @returns the invitation; `undefined` when it needs no consent, has another role by now, or is another account's
 */
export async function decideInvitation(
  trx: Trx,
  accountId: string,
  id: string,
  decision: { userId: string; consents: boolean; role: MemberRole },
  now: Date,
): Promise<Invitation | undefined> {
  await lockAccount(trx, accountId);
  const rows = await invitations.listOpenInvitations(trx, accountId, now);
  const row = rows.find(({ invitationId }) => invitationId === id);
  const invitation = row && toOpenInvitation(row, now);
  if (invitation?.waitsForConsent !== true || invitation.role !== decision.role) return undefined;
  if (decision.consents) await invitations.consentToInvitation(trx, accountId, id, decision.userId, now);
  else {
    await invitations.useInvitation(trx, accountId, id, now);
    await members.updateMember(trx, accountId, invitation.memberId, ["invited"], { status: "removed" }, now);
  }
  return invitation;
}

function toOpenInvitation(row: invitations.InvitationRow, now: Date): Invitation | undefined {
  if (row.usedAt !== null || row.expiresAt <= now || row.status !== "invited") return undefined;
  const { accountId, organizationId, accountName, invitationId, memberId, email, name, role } = row;
  const waitsForConsent = row.hasOwner && mayDecide(role) && row.consentedAt === null;
  return {
    accountId,
    organizationId,
    accountName,
    invitationId,
    memberId,
    email,
    name,
    role,
    waitsForConsent,
  };
}
