import { sql, type UpdateObject } from "kysely";
import type { Db, Trx } from "../database/connection.ts";
import type { CoSign, Database, MemberRole, MemberStatus } from "../database/schema.ts";

const COLUMNS = [
  "id",
  "email",
  "name",
  "role",
  "status",
  "user_id as userId",
  "created_at as createdAt",
  "updated_at as updatedAt",
] as const;

export type MemberRow = NonNullable<Awaited<ReturnType<typeof findMember>>>;

/** The account's members, invited ones too, removed ones not. */
function selectMembers(db: Db, accountId: string) {
  return db
    .selectFrom("members")
    .where("account_id", "=", accountId)
    .where("status", "<>", "removed")
    .select(COLUMNS);
}

export function findMember(db: Db, accountId: string, id: string) {
  return selectMembers(db, accountId).where("id", "=", id).executeTakeFirst();
}

/** The account's members, oldest first, invited ones too. */
export function listMembers(db: Db, accountId: string): Promise<MemberRow[]> {
  return selectMembers(db, accountId).orderBy("created_at").orderBy("id").execute();
}

/** The account's members, invited ones too, newest first. @param before the id at which the page before ended */
export function listMemberPage(db: Db, accountId: string, before: string | undefined, limit: number) {
  return selectMembers(db, accountId)
    .$if(before !== undefined, (query) => query.where("id", "<", before ?? ""))
    .orderBy("id", "desc")
    .limit(limit)
    .execute();
}

/** The account's owners who have accepted, oldest first. */
export function listOwners(db: Db, accountId: string): Promise<MemberRow[]> {
  return selectActive(db, accountId)
    .where("role", "=", "owner")
    .orderBy("created_at")
    .orderBy("id")
    .execute();
}

function selectActive(db: Db, accountId: string) {
  return db
    .selectFrom("members")
    .where("account_id", "=", accountId)
    .where("status", "=", "active")
    .select(COLUMNS);
}

/** The active member behind a sign-in, locked against removal until the transaction ends. */
export function lockMemberOfUser(trx: Trx, accountId: string, userId: string) {
  return selectActive(trx, accountId).where("user_id", "=", userId).forShare().executeTakeFirst();
}

export function findMemberByEmail(trx: Trx, accountId: string, email: string) {
  return selectMembers(trx, accountId).where("email", "=", email).forNoKeyUpdate().executeTakeFirst();
}

export function insertMember(
  trx: Trx,
  accountId: string,
  member: Pick<MemberRow, "id" | "email" | "name" | "role">,
  now: Date,
) {
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
    .returning(COLUMNS)
    .executeTakeFirstOrThrow();
}

type Values = Pick<UpdateObject<Database, "members">, "name" | "role" | "status" | "user_id">;

/** Changes a member who has one of these states; in another state nothing changes. @returns the member after the change */
export function updateMember(
  trx: Trx,
  accountId: string,
  id: string,
  states: readonly MemberStatus[],
  values: Values,
  now: Date,
) {
  return trx
    .updateTable("members")
    .set({ ...values, updated_at: now })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("status", "in", states)
    .returning(COLUMNS)
    .executeTakeFirst();
}

const PENDING = sql<number>`(
  select count(*) from approvals v where v.account_id = m.account_id and v.status = 'pending'
    and v.executing_at is null and v.expires_at > now())`;

/** An active membership of a person, with what their pages need to know of the account. */
export type Membership = {
  accountId: string;
  /** The id that the operator uses for the account. */
  organizationId: string;
  accountName: string;
  /** Which features the operator has enabled for the account. */
  features: Record<string, boolean>;
  /** What the account requires of the person who confirms. */
  coSign: CoSign;
  memberId: string;
  role: MemberRole;
  /** How many approvals can be decided now. */
  pending: number;
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
      PENDING.as("pending"),
    ])
    .orderBy("a.name")
    .orderBy("a.id")
    .execute();
}
