import { type Act, recordAudit } from "../audit/service.ts";
import { readClock } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import type { MemberRole } from "../database/schema.ts";
import { inTransaction } from "../database/transaction.ts";
import { nameOf } from "../lib/fields.ts";
import { newId } from "../lib/ids.ts";
import { Problem } from "../lib/problems.ts";
import { newSecret, readSecret } from "../lib/secrets.ts";
import { addSeconds } from "../lib/time.ts";
import { findRegistrationToken } from "./ownership-store.ts";
import type { Capabilities, Me } from "./schemas.ts";
import * as store from "./store.ts";
import { listWithOffspring, revokeTokens } from "./token-store.ts";

export type { AccountValues, Grant, MemberRow, Membership } from "./store.ts";
export {
  GRANT_COLUMNS,
  GRANT_CONDITION,
  GRANT_TABLES,
  holdFrozen,
  insertAccount,
  listMemberships,
  readGrant,
} from "./store.ts";

const INVITATION_PREFIX = "ot_inv_";
const INVITATION_TTL_SECONDS = 24 * 60 * 60;

/** Who is behind a token, and what it may do (CONTRACT.md §6, `GET /auth/me`). */
export async function describeMe(db: Db, grant: store.Grant): Promise<Me> {
  const owner = await store.findOwner(db, grant.accountId);
  const [firstName = null, ...rest] = owner?.name.split(/\s+/) ?? [];
  return {
    actor: {
      userId: owner?.user_id ?? null,
      email: owner?.email ?? null,
      firstName,
      lastName: rest.join(" ") || null,
      fullName: owner?.name ?? null,
      userType: "EMPLOYER",
    },
    token: {
      id: grant.tokenId,
      label: grant.tokenName,
      scopes: grant.scopes,
      ownerOrganizationId: grant.organizationId,
    },
    account: {
      kind: "employer_organization",
      organizationId: grant.organizationId,
      ownerUserId: owner?.user_id ?? null,
      memberRole: owner === undefined ? null : owner.role.toUpperCase(),
      claimed: grant.claimed,
    },
  };
}

/** What is enabled for the account (CONTRACT.md §6): what an agent asks before it plans. */
export function describeCapabilities(grant: store.Grant): Capabilities {
  return {
    capabilities: {
      paymentsWrite: grant.features.public_api_payments_write === true,
      credits: grant.features.public_api_credits === true,
      webhooks: grant.features.public_api_webhooks === true,
    },
    features: grant.features,
    scopes: grant.scopes,
    claimed: grant.claimed,
  };
}

/** An account as the operator sees it. */
export type AccountRow = NonNullable<Awaited<ReturnType<typeof store.findAccount>>>;

/**
 * The account of that key.
 * @throws Problem not_found {resource: "accounts", accountId: the operator's id}
 */
export async function getAccount(db: Db, accountId: string, id: string): Promise<AccountRow> {
  const account = await store.findAccount(db, accountId);
  if (account === undefined) throw new Problem("not_found", { resource: "accounts", accountId: id });
  return account;
}

/** The account before a write, and as it is written. */
export type AccountChange = { before: AccountRow | undefined; after: store.AccountValues };

/**
 * Creates or changes an account, which is held from then on. `merge` makes the new values from the present ones.
 * @throws whatever `merge` throws
 */
export async function saveAccount(
  trx: Trx,
  accountId: string,
  id: string,
  merge: (present: AccountRow | undefined, now: Date) => store.AccountValues,
  now: Date,
): Promise<AccountChange> {
  const present = await store.lockAccount(trx, accountId);
  if (present === undefined) {
    const after = merge(undefined, now);
    if (await store.insertAccount(trx, accountId, id, after, now)) return { before: undefined, after };
  }
  const before = present ?? (await store.lockAccount(trx, accountId));
  const after = merge(before, now);
  await store.updateAccount(trx, accountId, after, now);
  return { before, after };
}

/** Holds the account's row until the transaction ends, so that what belongs to it changes one at a time. */
export async function holdAccount(trx: Trx, accountId: string): Promise<void> {
  await store.lockAccount(trx, accountId);
}

/** Which members may act: all who read, owners and approvers, or owners alone. */
export type Allowed = "read" | "decide" | "own";

const ROLES: Record<Allowed, readonly MemberRole[]> = {
  read: ["owner", "approver", "viewer"],
  decide: ["owner", "approver"],
  own: ["owner"],
};

/**
 * Makes sure that the account is not frozen, and holds it so until the transaction ends. Whoever changes the account has
 * locked it before.
 * @throws Problem account_frozen
 */
export async function assertNotFrozen(trx: Trx, accountId: string): Promise<void> {
  if (await store.holdFrozen(trx, accountId)) throw new Problem("account_frozen");
}

/** Whether the account is frozen, as far as can be seen without holding it. */
export async function isFrozen(db: Db, accountId: string): Promise<boolean> {
  return (await store.findAccount(db, accountId))?.frozen === true;
}

/**
 * Holds the member's row and makes sure that their role allows it.
 * @throws Problem not_found when they are no member, not_permitted when their role does not allow it
 */
export async function assertMember(trx: Trx, accountId: string, userId: string, may: Allowed): Promise<void> {
  const member = await store.lockMemberOfUser(trx, accountId, userId);
  if (member === undefined) throw new Problem("not_found", { resource: "accounts" });
  if (!ROLES[may].includes(member.role)) throw new Problem("not_permitted");
}

/** Whether the person is a member who may decide, held so until the transaction ends. */
export async function mayDecide(trx: Trx, accountId: string, userId: string): Promise<boolean> {
  const member = await store.lockMemberOfUser(trx, accountId, userId);
  return member !== undefined && member.role !== "viewer";
}

/** The account's members, those who were invited included, oldest first. */
export function listMembers(db: Db, accountId: string): Promise<store.MemberRow[]> {
  return store.listMembers(db, accountId);
}

/**
 * Invites a person into the account, for the operator, or invites them anew: an earlier invitation ends with it.
 * @returns the member and the secret of the invitation, which lasts 24 h and is in the answer alone
 * @throws Problem member_active when they have accepted already
 */
export async function inviteMember(
  db: Db,
  accountId: string,
  person: { email: string; name: string; role: MemberRole },
  act: Act,
): Promise<{ member: store.MemberRow; secret: string }> {
  return inTransaction(db, async (trx) => {
    const now = await readClock(trx);
    await store.lockAccount(trx, accountId);
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
 * @param consentedBy the owner who invites, by their user id: what they send waits for nobody's consent
 * @throws Problem bad_request {field: "name"}, account_frozen, member_active when they have accepted already
 */
export async function insertInvitation(
  trx: Trx,
  accountId: string,
  person: { email: string; name: string; role: MemberRole },
  consentedBy: string | undefined,
  now: Date,
): Promise<{ member: store.MemberRow; secret: string }> {
  nameOf("name", person.name);
  await assertNotFrozen(trx, accountId);
  const email = person.email.toLowerCase();
  const present = await store.findMemberByEmail(trx, accountId, email);
  if (present?.status === "active") throw new Problem("member_active", { memberId: present.id });
  const values = { ...person, email, id: present?.id ?? newId() };
  const member = await (present === undefined
    ? store.insertMember(trx, accountId, values, now)
    : store.updateInvitedMember(trx, accountId, values, now));
  const secret = newSecret(INVITATION_PREFIX, accountId);
  const expiresAt = addSeconds(now, INVITATION_TTL_SECONDS);
  const invitation = { id: newId(), memberId: member.id, digest: secret.digest, expiresAt };
  await store.replaceInvitation(trx, accountId, invitation, now);
  if (consentedBy !== undefined)
    await store.consentToInvitation(trx, accountId, invitation.id, consentedBy, now);
  return { member, secret: secret.value };
}

/** An invitation that can be accepted, now or once an owner has consented. */
export type Invitation = Pick<
  store.InvitationRow,
  "accountId" | "accountName" | "invitationId" | "memberId" | "email" | "name" | "role"
> & {
  /** Once an account has an owner, new owners and approvers wait for an owner's consent (CONTRACT.md §8). */
  waitsForConsent: boolean;
};

/** The invitation behind a secret; `undefined` when it is unknown, used, replaced or expired, all alike. */
export async function readInvitation(db: Db, secret: string): Promise<Invitation | undefined> {
  const credential = readSecret(INVITATION_PREFIX, secret);
  const row = credential && (await store.findInvitation(db, credential));
  return row && toOpenInvitation(row, await readClock(db));
}

/**
 * Accepts an invitation, once: the member becomes active, and the account claimed if this is its first owner
 * (CONTRACT.md §6), which ends what an agent has held until then. One acceptance of an account at a time, so that the consent rule cannot be overtaken.
 * @param userId the person's sign-in, which `trx` may have made
 * @returns the invitation that was accepted; `undefined` when it no longer can be, or waits for consent
 * @throws Problem account_frozen
 */
export async function acceptInvitation(
  trx: Trx,
  secret: string,
  userId: string,
  now: Date,
): Promise<Invitation | undefined> {
  const credential = readSecret(INVITATION_PREFIX, secret);
  if (credential === undefined) return undefined;
  const { accountId } = credential;
  await store.lockAccount(trx, accountId);
  await assertNotFrozen(trx, accountId);
  const row = await store.findInvitation(trx, credential);
  const invitation = row && toOpenInvitation(row, now);
  if (row === undefined || invitation === undefined || invitation.waitsForConsent) return undefined;
  if (!(await store.useInvitation(trx, accountId, row.invitationId, now))) return undefined;
  await store.activateMember(trx, accountId, row.memberId, userId, now);
  if (row.role === "owner" && !row.hasOwner) await claimByInvitation(trx, accountId, now);
  return invitation;
}

/** What an agent registered the account with dies, and what that has minted; what the operator has minted goes on. */
async function claimByInvitation(trx: Trx, accountId: string, now: Date): Promise<void> {
  const began = await findRegistrationToken(trx, accountId);
  const family = began === undefined ? [] : await listWithOffspring(trx, accountId, [began]);
  await revokeTokens(trx, accountId, family, now);
  await store.claimAccount(trx, accountId, now);
}

/** The account's invitations that wait for an owner's consent. */
export async function listWaitingInvitations(db: Db, accountId: string): Promise<Invitation[]> {
  const now = await readClock(db);
  return (await store.listOpenInvitations(db, accountId, now))
    .map((row) => toOpenInvitation(row, now))
    .filter((invitation) => invitation !== undefined)
    .filter(({ waitsForConsent }) => waitsForConsent);
}

/**
 * An owner consents to an invitation, or refuses it: then it is used up, and the person no member.
 * Whoever calls has checked that `userId` is an owner of the account.
 * @param decision.role the one that they were shown
 * @returns the invitation; `undefined` when it does not wait, asks for another role by now, or is not this account's
 */
export async function decideInvitation(
  trx: Trx,
  accountId: string,
  id: string,
  decision: { userId: string; consents: boolean; role: MemberRole },
  now: Date,
): Promise<Invitation | undefined> {
  await store.lockAccount(trx, accountId);
  const rows = await store.listOpenInvitations(trx, accountId, now);
  const row = rows.find(({ invitationId }) => invitationId === id);
  const invitation = row && toOpenInvitation(row, now);
  if (invitation?.waitsForConsent !== true || invitation.role !== decision.role) return undefined;
  if (decision.consents) await store.consentToInvitation(trx, accountId, id, decision.userId, now);
  else {
    await store.useInvitation(trx, accountId, id, now);
    await store.removeInvitedMember(trx, accountId, invitation.memberId, now);
  }
  return invitation;
}

function toOpenInvitation(row: store.InvitationRow, now: Date): Invitation | undefined {
  if (row.usedAt !== null || row.expiresAt <= now || row.status !== "invited") return undefined;
  const { accountId, accountName, invitationId, memberId, email, name, role } = row;
  const waitsForConsent = row.hasOwner && role !== "viewer" && row.consentedAt === null;
  return { accountId, accountName, invitationId, memberId, email, name, role, waitsForConsent };
}
