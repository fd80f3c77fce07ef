import { sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";
import type { Billing, CoSign, MemberRole, MemberStatus } from "../database/schema.ts";
import { batchedRead } from "../database/statements.ts";
import type { Credential } from "../lib/secrets.ts";

/** What a token that was just looked up may do, and for whom. Read anew for every request: no cache. */
export type Grant = {
  /** The database's time at the look-up; the request goes by it from there on. */
  now: Date;
  accountId: string;
  /** The id that the operator uses for the account. */
  organizationId: string;
  claimed: boolean;
  frozen: boolean;
  features: Record<string, boolean>;
  coSign: CoSign;
  secondSignerFromCents: number | null;
  tokenId: string;
  tokenName: string;
  tokenPreview: string;
  /** Whose limits the token counts against: the first of those who minted one another, or its own. */
  rootTokenId: string;
  scopes: string[];
  lastUsedAt: Date | null;
};

/**
 * The columns of a Grant, for statements that read more along with it. They are text and not built, as
 * building a statement costs a request more than Postgres takes to answer it.
 */
export const GRANT_COLUMNS = `date_trunc('milliseconds', now()) as now,
  a.account_id as "accountId", a.id as "organizationId", a.claimed_at is not null as claimed, a.frozen, a.features,
  a.co_sign as "coSign", a.second_signer_from_cents as "secondSignerFromCents", t.id as "tokenId",
  t.name as "tokenName", t.preview as "tokenPreview", coalesce(t.root_id, t.id) as "rootTokenId", t.scopes,
  t.last_used_at as "lastUsedAt"`;

/** Where a Grant is read from. */
export const GRANT_TABLES = "tokens t join accounts a on a.account_id = t.account_id";

/** What the parameters of a statement that reads a Grant are, beside its own. */
export const GRANT_PARAMETERS = { accountId: "uuid", digest: "bytea" } as const;

/** Whose Grant is read. */
export const grantCondition = ({ accountId, digest }: { accountId: string; digest: string }) =>
  `t.account_id = ${accountId} and t.digest = ${digest} and t.revoked_at is null
  and (t.expires_at is null or t.expires_at > now())`;

const selectGrant = batchedRead<typeof GRANT_PARAMETERS, Grant>(
  GRANT_PARAMETERS,
  (names) => `select ${GRANT_COLUMNS} from ${GRANT_TABLES} where ${grantCondition(names)}`,
);

/** Looks a token up; `undefined` when it is unknown, expired or revoked. */
export async function readGrant(db: Db, credential: Credential): Promise<Grant | undefined> {
  return (await selectGrant(db, credential))[0];
}

/** Notes when tokens were last used; one that was noted less than a minute ago is left as it is. */
export async function updateLastUsed(
  db: Db,
  uses: { accountId: string; tokenId: string; at: Date }[],
): Promise<void> {
  await sql`
    update tokens t set last_used_at = u.used_at
    from unnest(${uses.map((use) => use.accountId)}::uuid[], ${uses.map((use) => use.tokenId)}::uuid[],
      ${uses.map((use) => use.at)}::timestamptz[]) as u (account_id, id, used_at)
    where t.account_id = u.account_id and t.id = u.id
      and (t.last_used_at is null or t.last_used_at < u.used_at - interval '1 minute')`.execute(db);
}

const ACCOUNT_COLUMNS = [
  "id",
  "name",
  "claimed_at",
  "features",
  "billing",
  "co_sign",
  "second_signer_from_cents",
  "frozen",
  "created_at",
  "updated_at",
] as const;

export function findAccount(db: Db, accountId: string) {
  return db
    .selectFrom("accounts")
    .where("account_id", "=", accountId)
    .select(ACCOUNT_COLUMNS)
    .executeTakeFirst();
}

/** The account's row, held against other writers until the transaction ends. */
export function lockAccount(trx: Trx, accountId: string) {
  return trx
    .selectFrom("accounts")
    .where("account_id", "=", accountId)
    .select(ACCOUNT_COLUMNS)
    .forNoKeyUpdate()
    .executeTakeFirst();
}

/** Whether the account is frozen, held so until the transaction ends. */
export async function holdFrozen(trx: Trx, accountId: string): Promise<boolean> {
  const row = await trx
    .selectFrom("accounts")
    .where("account_id", "=", accountId)
    .select("frozen")
    .forShare()
    .executeTakeFirst();
  return row?.frozen === true;
}

export type AccountValues = {
  name: string;
  claimedAt: Date | null;
  features: Record<string, boolean>;
  billing: Billing;
  coSign: CoSign;
  secondSignerFromCents: number | null;
  frozen: boolean;
};

/** Makes an account and its head. `false`: somebody else just made it. */
export async function insertAccount(
  trx: Trx,
  accountId: string,
  id: string,
  values: AccountValues,
  now: Date,
) {
  const { numInsertedOrUpdatedRows } = await trx
    .insertInto("accounts")
    .values({
      account_id: accountId,
      id,
      name: values.name,
      claimed_at: values.claimedAt,
      features: JSON.stringify(values.features),
      billing: values.billing,
      co_sign: values.coSign,
      second_signer_from_cents: values.secondSignerFromCents,
      frozen: values.frozen,
      created_at: now,
      updated_at: now,
    })
    .onConflict((conflict) => conflict.column("account_id").doNothing())
    .executeTakeFirstOrThrow();
  if (numInsertedOrUpdatedRows === 0n) return false;
  // Its id is the operator's: once the server has run anew, an account of that id may be lost, and numbers given in it.
  await sql`
    insert into account_heads (account_id, run)
    select ${accountId}::uuid, case when runs = 1 and run = server_run() then run else '' end
    from operator_head`.execute(trx);
  return true;
}

export async function updateAccount(
  trx: Trx,
  accountId: string,
  values: AccountValues,
  now: Date,
): Promise<void> {
  await trx
    .updateTable("accounts")
    .set({
      name: values.name,
      claimed_at: values.claimedAt,
      features: JSON.stringify(values.features),
      billing: values.billing,
      co_sign: values.coSign,
      second_signer_from_cents: values.secondSignerFromCents,
      frozen: values.frozen,
      updated_at: now,
    })
    .where("account_id", "=", accountId)
    .execute();
}

const MEMBER_COLUMNS = ["id", "email", "name", "role", "status", "user_id", "created_at"] as const;

export type MemberRow = NonNullable<Awaited<ReturnType<typeof listMembers>>[number]>;

export function listMembers(db: Db, accountId: string) {
  return db
    .selectFrom("members")
    .where("account_id", "=", accountId)
    .where("status", "<>", "removed")
    .select(MEMBER_COLUMNS)
    .orderBy("created_at")
    .orderBy("id")
    .execute();
}

/** The owner whom `/auth/me` names: the first who accepted. */
export function findOwner(db: Db, accountId: string) {
  return db
    .selectFrom("members")
    .where("account_id", "=", accountId)
    .where("status", "=", "active")
    .where("role", "=", "owner")
    .select(MEMBER_COLUMNS)
    .orderBy("created_at")
    .orderBy("id")
    .executeTakeFirst();
}

/** The active member behind a sign-in, held so that nobody removes them meanwhile. */
export function lockMemberOfUser(trx: Trx, accountId: string, userId: string) {
  return trx
    .selectFrom("members")
    .where("account_id", "=", accountId)
    .where("user_id", "=", userId)
    .where("status", "=", "active")
    .select(MEMBER_COLUMNS)
    .forShare()
    .executeTakeFirst();
}

export function findMemberByEmail(trx: Trx, accountId: string, email: string) {
  return trx
    .selectFrom("members")
    .where("account_id", "=", accountId)
    .where("email", "=", email)
    .where("status", "<>", "removed")
    .select(MEMBER_COLUMNS)
    .forNoKeyUpdate()
    .executeTakeFirst();
}

export type NewMember = { id: string; email: string; name: string; role: MemberRole };

export function insertMember(trx: Trx, accountId: string, member: NewMember, now: Date): Promise<MemberRow> {
  return trx
    .insertInto("members")
    .values({
      account_id: accountId,
      ...member,
      status: "invited",
      user_id: null,
      created_at: now,
      updated_at: now,
    })
    .returning(MEMBER_COLUMNS)
    .executeTakeFirstOrThrow();
}

/** Changes an invited member; one who has accepted is changed by the account's owners alone. */
export function updateInvitedMember(
  trx: Trx,
  accountId: string,
  member: NewMember,
  now: Date,
): Promise<MemberRow> {
  return trx
    .updateTable("members")
    .set({ name: member.name, role: member.role, updated_at: now })
    .where("account_id", "=", accountId)
    .where("id", "=", member.id)
    .where("status", "=", "invited")
    .returning(MEMBER_COLUMNS)
    .executeTakeFirstOrThrow();
}

/** Makes an invitation; the member's earlier one is used up with it. */
export async function replaceInvitation(
  trx: Trx,
  accountId: string,
  invitation: { id: string; memberId: string; digest: Buffer; expiresAt: Date },
  now: Date,
): Promise<void> {
  await trx
    .updateTable("invitations")
    .set({ used_at: now })
    .where("account_id", "=", accountId)
    .where("member_id", "=", invitation.memberId)
    .where("used_at", "is", null)
    .execute();
  await trx
    .insertInto("invitations")
    .values({
      account_id: accountId,
      id: invitation.id,
      member_id: invitation.memberId,
      digest: invitation.digest,
      created_at: now,
      expires_at: invitation.expiresAt,
      used_at: null,
    })
    .execute();
}

/** An invitation with what its page says. */
export type InvitationRow = {
  accountId: string;
  accountName: string;
  invitationId: string;
  memberId: string;
  email: string;
  name: string;
  role: MemberRole;
  status: MemberStatus;
  expiresAt: Date;
  usedAt: Date | null;
  consentedAt: Date | null;
  /** Whether the account has an owner who has accepted. */
  hasOwner: boolean;
};

function selectInvitations(db: Db) {
  return db
    .selectFrom("invitations as i")
    .innerJoin("members as m", (join) =>
      join.onRef("m.account_id", "=", "i.account_id").onRef("m.id", "=", "i.member_id"),
    )
    .innerJoin("accounts as a", "a.account_id", "i.account_id")
    .select((select) => [
      "i.account_id as accountId",
      "a.name as accountName",
      "i.id as invitationId",
      "m.id as memberId",
      "m.email",
      "m.name",
      "m.role",
      "m.status",
      "i.expires_at as expiresAt",
      "i.used_at as usedAt",
      "i.consented_at as consentedAt",
      select
        .exists(
          select
            .selectFrom("members as o")
            .whereRef("o.account_id", "=", "i.account_id")
            .where("o.status", "=", "active")
            .where("o.role", "=", "owner")
            .select("o.id"),
        )
        .$castTo<boolean>()
        .as("hasOwner"),
    ]);
}

export function findInvitation(
  db: Db,
  { accountId, digest }: Credential,
): Promise<InvitationRow | undefined> {
  return selectInvitations(db)
    .where("i.account_id", "=", accountId)
    .where("i.digest", "=", digest)
    .executeTakeFirst();
}

/** Invitations of the account that have not been accepted, replaced or lapsed, oldest first. */
export function listOpenInvitations(db: Db, accountId: string, now: Date): Promise<InvitationRow[]> {
  return selectInvitations(db)
    .where("i.account_id", "=", accountId)
    .where("i.used_at", "is", null)
    .where("i.expires_at", ">", now)
    .where("m.status", "=", "invited")
    .orderBy("i.created_at")
    .execute();
}

/** Uses an invitation up. `false`: somebody else just did. */
export async function useInvitation(trx: Trx, accountId: string, id: string, now: Date): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable("invitations")
    .set({ used_at: now })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("used_at", "is", null)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

/** Notes an owner's consent. `false`: the invitation is over, or has it already. */
export async function consentToInvitation(
  trx: Trx,
  accountId: string,
  id: string,
  userId: string,
  now: Date,
): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable("invitations")
    .set({ consented_at: now, consented_by: userId })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("used_at", "is", null)
    .where("consented_at", "is", null)
    .where("expires_at", ">", now)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

export async function activateMember(
  trx: Trx,
  accountId: string,
  id: string,
  userId: string,
  now: Date,
): Promise<void> {
  await trx
    .updateTable("members")
    .set({ status: "active", user_id: userId, updated_at: now })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("status", "=", "invited")
    .executeTakeFirstOrThrow();
}

export async function removeInvitedMember(trx: Trx, accountId: string, id: string, now: Date): Promise<void> {
  await trx
    .updateTable("members")
    .set({ status: "removed", updated_at: now })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("status", "=", "invited")
    .execute();
}

export async function claimAccount(trx: Trx, accountId: string, now: Date): Promise<void> {
  await trx
    .updateTable("accounts")
    .set({ claimed_at: now, updated_at: now })
    .where("account_id", "=", accountId)
    .where("claimed_at", "is", null)
    .execute();
}

/** What a person may do where: their active memberships, by the account's name. */
export type Membership = {
  accountId: string;
  /** The id that the operator uses for the account. */
  organizationId: string;
  accountName: string;
  /** Which features the operator has enabled for the account. */
  features: Record<string, boolean>;
  /** What the account demands of whoever confirms. */
  coSign: CoSign;
  memberId: string;
  role: MemberRole;
};

export function listMemberships(db: Db, userId: string): Promise<Membership[]> {
  return db
    .selectFrom("members as m")
    .innerJoin("accounts as a", "a.account_id", "m.account_id")
    .where("m.user_id", "=", userId)
    .where("m.status", "=", "active")
    .select([
      "m.account_id as accountId",
      "a.id as organizationId",
      "a.name as accountName",
      "a.features",
      "a.co_sign as coSign",
      "m.id as memberId",
      "m.role",
    ])
    .orderBy("a.name")
    .orderBy("a.id")
    .execute();
}
