import { sql } from "kysely";
import pg from "pg";
import { afterAll, describe, expect, test } from "vitest";
import { connect } from "../../src/database/connection.ts";
import { GRANTS, RUNNING_ROLE } from "../../src/database/grants.ts";
import { asAdmin, asOwner, cloneDatabase, emptyDatabase } from "../support/clones.ts";
import { runProgram } from "../support/process.ts";
import { asRole, createRoles, OWNER } from "../support/roles.ts";

const url = await cloneDatabase();
const { db, close } = connect(url, { size: 2, onIdleError: () => {} });
const owner = connect(asOwner(url), { size: 2, onIdleError: () => {} });
afterAll(() => Promise.all([close(), owner.close()]));

const NOT_ALLOWED = "42501";

/** What became of a statement of the running role: `accepted`, or which refusal. */
const state = (statement: string): Promise<string> =>
  sql
    .raw(statement)
    .execute(db)
    .then(
      () => "accepted",
      (error: { code: string }) => error.code,
    );

async function listTables(): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select case schemaname when 'public' then tablename else schemaname || '.' || tablename end as name
    from pg_tables where schemaname not in ('pg_catalog', 'information_schema') order by 1`.execute(owner.db);
  return rows.map(({ name }) => name);
}

describe("the running role", () => {
  test("has the rights that src/database/grants.ts lists, on every table, and no others", async () => {
    expect(await listTables()).toEqual(Object.keys(GRANTS).sort());
    const { rows } = await sql<{ name: string; privileges: string[] }>`
      select case n.nspname when 'public' then c.relname else n.nspname || '.' || c.relname end as name,
        array_agg(a.privilege_type) as privileges
      from pg_class c join pg_namespace n on n.oid = c.relnamespace, aclexplode(c.relacl) a
      where a.grantee in (0, ${RUNNING_ROLE}::regrole) and n.nspname in ('public', 'auth', 'sandbox')
        and c.relkind in ('r', 'p') group by 1`.execute(owner.db);
    const given = Object.fromEntries(
      rows.map(({ name, privileges }) => [name, privileges.map((one) => one.toLowerCase()).sort()]),
    );
    expect(given).toEqual(
      Object.fromEntries(Object.entries(GRANTS).map(([name, privileges]) => [name, [...privileges].sort()])),
    );
  });

  test("can neither empty any table, nor change the schema, nor switch what keeps the books off", async () => {
    for (const table of Object.keys(GRANTS))
      expect(await state(`truncate ${table} cascade`)).toBe(NOT_ALLOWED);
    for (const statement of [
      "alter table ledger_entries disable trigger all",
      "drop trigger receipts_kept on receipts",
      "alter table approvals add column more text",
      "create or replace function refuse_change() returns trigger language plpgsql as 'begin return null; end'",
      "create table more (id int)",
      "create table auth.more (id int)",
      "create schema more",
      "set session_replication_role = replica",
      `set role ${OWNER}`,
    ])
      expect([statement, await state(statement)]).toEqual([statement, NOT_ALLOWED]);
  });

  test("removes no row of the books, of proofs or of people, and changes no proof", async () => {
    const kept = [
      "approvals",
      "signatures",
      "payment_signatures",
      "receipts",
      "payments",
      "invoices",
      "ledger_entries",
      "reversals",
    ];
    const others = [
      "processor",
      "contracts",
      "milestones",
      "members",
      "payment_methods",
      "audit_entries",
      "auth.users",
    ];
    for (const table of [...kept, ...others]) {
      expect([table, await state(`delete from ${table}`)]).toEqual([table, NOT_ALLOWED]);
    }
    for (const table of ["signatures", "payment_signatures", "receipts", "ledger_entries", "audit_entries"]) {
      expect([table, await state(`update ${table} set account_id = account_id`)]).toEqual([
        table,
        NOT_ALLOWED,
      ]);
    }
  });
});

describe("migrate", () => {
  test("needs DATABASE_MIGRATE_URL alone, and gives the running role what it needs, however it had lost it", async () => {
    const empty = await emptyDatabase();
    await createRoles(empty);
    const run = () => runProgram(["migrate"], { DATABASE_MIGRATE_URL: asRole(empty, OWNER) });
    const done = { code: 0, stdout: "The database is at this version's schema.\n", stderr: "" };
    expect(await run()).toMatchObject(done);
    const running = connect(asRole(empty, RUNNING_ROLE), { size: 1, onIdleError: () => {} });
    const admin = new pg.Client({ connectionString: empty });
    await admin.connect();
    await admin.query(`revoke all on auth.sessions from ${RUNNING_ROLE}`);
    await admin.query(`grant truncate on ledger_entries to ${RUNNING_ROLE}`);
    await admin.end();
    expect(await run()).toMatchObject(done);
    expect(await running.db.selectFrom("auth.sessions").select("id").execute()).toEqual([]);
    await expect(sql`truncate ledger_entries`.execute(running.db)).rejects.toMatchObject({
      code: NOT_ALLOWED,
    });
    await running.close();
  });

  test("of an older version on a newer schema changes nothing, says so in one line and exits with 0", async () => {
    const clone = await cloneDatabase();
    const admin = new pg.Client({ connectionString: asAdmin(clone) });
    await admin.connect();
    await admin.query(`insert into kysely_migration values ('20991231T0000_add_more', now()::text)`);
    await admin.query(`revoke select on accounts from ${RUNNING_ROLE}`);
    const older = () => runProgram(["migrate"], { DATABASE_MIGRATE_URL: asOwner(clone) });
    expect(await older()).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(
        /^The database is ahead of this version, by 20991231T0000_add_more: [^\n]*\n$/,
      ),
      stderr: "",
    });
    const { rows } = await admin.query(
      `select has_table_privilege('${RUNNING_ROLE}', 'accounts', 'select') as has`,
    );
    expect(rows).toEqual([{ has: false }]);

    await admin.query(
      `delete from kysely_migration where name = (select max(name) from kysely_migration where name < '2099')`,
    );
    await admin.end();
    expect(await older()).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringMatching(
        /^[^\n]*another version \(20991231T0000_add_more\)[^\n]*use the newest version\.\n$/,
      ),
    });
  });
});
