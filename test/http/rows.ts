import { sql } from "kysely";
import type { Db } from "../../src/database/connection.ts";
import type { MilestoneStatus } from "../../src/database/schema.ts";
import { accountKey } from "../../src/lib/ids.ts";
import type { Fixture } from "../support/fixtures.ts";
import { ownerOf } from "../support/owner.ts";

/**
 * A digest of every row of every table: equal means that nothing at all was written. But for the row by which a health
 * check learns whether the database can be written to.
 */
export async function digestRows(service: Db): Promise<Record<string, string>> {
  const db = ownerOf(service);
  const { rows: tables } = await sql<{ name: string }>`
    select format('%I.%I', schemaname, tablename) as name from pg_tables
    where schemaname not in ('pg_catalog', 'information_schema') and tablename <> 'write_probes'
    order by 1`.execute(db);
  const digests = tables.map(async ({ name }) => {
    const table = sql.raw(name);
    const { rows } = await sql<{ digest: string }>`
      select count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' order by t::text)), '') as digest
      from ${table} t`.execute(db);
    return [name, rows[0]?.digest ?? ""];
  });
  return Object.fromEntries(await Promise.all(digests));
}

/** The approval's row, as it is stored. */
export function readApprovalRow(db: Db, { account }: Fixture, id: string) {
  return db
    .selectFrom("approvals")
    .where("account_id", "=", accountKey(account))
    .where("id", "=", id)
    .selectAll()
    .executeTakeFirstOrThrow();
}

/** A time some hours before a column's; a cluster refuses the difference of a time and an interval in an UPDATE. */
export const hoursBefore = (column: string, hours: number) =>
  sql`to_timestamp(extract(epoch from ${sql.ref(column)}) - ${sql.lit(hours * 3_600)})`;

/** Moves an approval's 72 hours into the past. The trigger that keeps them is off for that one statement. */
export async function expire(db: Db, { account }: Fixture, id: string): Promise<void> {
  await ownerOf(db)
    .transaction()
    .execute(async (trx) => {
      await sql`alter table approvals disable trigger approvals_terms`.execute(trx);
      await sql`
      update approvals set created_at = ${hoursBefore("created_at", 73)}, expires_at = ${hoursBefore("expires_at", 73)}
      where account_id = ${accountKey(account)} and id = ${id}`.execute(trx);
      await sql`alter table approvals enable trigger approvals_terms`.execute(trx);
    });
}

/** Marks an approval, and its milestone, as one whose money is moving. */
export async function startExecuting(db: Db, { account, milestone }: Fixture, id: string): Promise<void> {
  const accountId = accountKey(account);
  await sql`update approvals set executing_at = now() where account_id = ${accountId} and id = ${id}`.execute(
    db,
  );
  await sql`
    insert into executing_milestones (account_id, milestone_id, approval_id, started_at)
    values (${accountId}, ${milestone}, ${id}, now())`.execute(db);
}

/** Puts a milestone into a state that the operator's API cannot bring about. */
export async function setMilestoneStatus(
  db: Db,
  { account, milestone }: Fixture,
  status: MilestoneStatus,
): Promise<void> {
  await db
    .updateTable("milestones")
    .set({ status })
    .where("account_id", "=", accountKey(account))
    .where("id", "=", milestone)
    .execute();
}

/** Makes a claimed account unclaimed, which no call can do. */
export async function unclaim(db: Db, { account }: Fixture): Promise<void> {
  await db
    .updateTable("accounts")
    .set({ claimed_at: null })
    .where("account_id", "=", accountKey(account))
    .execute();
}

/** Ends the account's tokens, as if each had been revoked, or as if its last day had come. */
export async function endTokens(db: Db, { account }: Fixture, how: "revoked" | "expired"): Promise<void> {
  const change =
    how === "revoked"
      ? sql`revoked_at = now()`
      : sql`created_at = now() - interval '2 hours', expires_at = now() - interval '1 second'`;
  await sql`update tokens set ${change} where account_id = ${accountKey(account)}`.execute(db);
}
