import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { sql } from "kysely";
import { expect, inject, test } from "vitest";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { APPLICATION, connect, type Db } from "../../src/database/connection.ts";
import { distribute, undistribute } from "../../src/database/distribute.ts";
import { RUNNING_ROLE } from "../../src/database/grants.ts";
import { migrate } from "../../src/database/migrate.ts";
import { createClusterDatabase } from "../support/citus.ts";
import { asOwner, databaseUrl, newName, run } from "../support/clones.ts";
import { askRelease, createEscrow } from "../support/escrow.ts";
import { call } from "../support/fixtures.ts";
import { asRole, createRoles, OWNER } from "../support/roles.ts";
import { describeSchema } from "../support/schema.ts";
import { startService } from "../support/service.ts";
import { confirmNow, readOutcome } from "../support/stories.ts";

const HEAD = /^--.*\n\n/;

/** A database on all nodes, with roles and nothing else. */
async function newDatabase(): Promise<{ admin: string; owner: string; app: string; workers: string[] }> {
  const name = newName();
  const [, ...workers] = await createClusterDatabase(inject("adminUrl"), name);
  const admin = databaseUrl(inject("adminUrl"), name);
  await createRoles(admin);
  return {
    admin,
    owner: asRole(admin, OWNER),
    app: asRole(admin, RUNNING_ROLE),
    workers: workers.map((url) => databaseUrl(url, name)),
  };
}

async function withDatabase<T>(url: string, work: (db: Db) => Promise<T>): Promise<T> {
  const { db, close } = connect(url, { size: 1, statementTimeout: 60_000, onIdleError: () => {} });
  try {
    return await work(db);
  } finally {
    await close();
  }
}

/** Ends what a service holds, as if it had been stopped. */
const disconnect = (admin: string) =>
  run(
    admin,
    `select pg_terminate_backend(pid, 10000) from pg_stat_activity
     where datname = current_database() and application_name = '${APPLICATION}' and pid <> pg_backend_pid()`,
  );

/** The rows of every account table, by table, as a digest. */
function digestTables(url: string): Promise<Record<string, string>> {
  return withDatabase(url, async (db) => {
    const { rows: tables } = await sql<{ name: string }>`
      select table_name as name from information_schema.columns
      where table_schema = 'public' and column_name = 'account_id' order by 1`.execute(db);
    const digests: Record<string, string> = {};
    for (const { name } of tables) {
      // The server's run tells where a row is.
      const row = name === "account_heads" ? sql`to_jsonb(t) - 'run'` : sql`to_jsonb(t)`;
      const { rows } = await sql<{ digest: string }>`
        select count(*) || ' ' || coalesce(md5(string_agg((${row})::text, '|' order by (${row})::text)), '') as digest
        from ${sql.table(name)} t`.execute(db);
      digests[name] = rows[0]?.digest ?? "";
    }
    return digests;
  });
}

test("distribute moves a filled database and the service goes on; again it changes nothing; --undo brings it back", async () => {
  const { admin, owner, app: url } = await newDatabase();
  await migrate(owner);
  const before = await startService({}, url);
  const deps = ({ db, config }: typeof before) => ({
    db,
    config,
    processor: createSandbox(db, config.publicUrl),
  });
  const escrow = await createEscrow(before.app, deps(before), { count: 2 });
  await expect(distribute(owner, undefined, () => {})).rejects.toThrow(/^The service is running: /);
  await disconnect(admin);
  const rows = await digestTables(admin);
  expect(rows.receipts).toMatch(/^2 /);

  const said: string[] = [];
  await distribute(owner, 4, (line) => said.push(line));
  expect(said).toContain("accounts is now distributed by account_id.");
  expect(said.at(-1)).toMatch(/^3\d tables of accounts are distributed, in 4 shards each, over 2 nodes\.$/);
  expect(await digestTables(admin)).toEqual(rows);

  const again: string[] = [];
  await distribute(owner, 4, (line) => again.push(line));
  expect(again.slice(0, -1).filter((line) => !line.endsWith(" already."))).toEqual([]);
  expect(await digestTables(admin)).toEqual(rows);

  const after = await startService({}, url);
  const story = await askRelease(after.app, escrow);
  await confirmNow(deps(after), story);
  expect(await readOutcome(after.db, story)).toEqual({ approval: "confirmed", payment: "succeeded" });
  const { events } = (await call(after.app, "GET", "/updates?limit=200", { token: escrow.fixture.token }))
    .body;
  // The move has lost no number, so none jumps.
  expect(Number(events.at(-1).id)).toBeLessThan(1_000);

  await disconnect(admin);
  const moved = await digestTables(admin);
  await undistribute(owner, () => {});
  expect(await digestTables(admin)).toEqual(moved);
  expect(await withDatabase(admin, (db) => sql`select from pg_dist_partition`.execute(db))).toMatchObject({
    rows: [],
  });
  const back = await startService({}, url);
  const last = await askRelease(back.app, escrow, 1);
  await confirmNow(deps(back), last);
  expect(await readOutcome(back.db, last)).toEqual({ approval: "confirmed", payment: "succeeded" });
});

test("what was brought back has every constraint, index and trigger that the migrations create", async () => {
  const { admin, owner } = await newDatabase();
  await distribute(owner, 2, () => {});
  await undistribute(owner, () => {});
  const lines = (text: string) =>
    text
      .split("\n")
      // Citus' own triggers are in the catalogue too.
      .filter((line) => line !== "" && !line.includes(" ON pg_dist_"))
      .map((line) => line.replace(/,$/, ""))
      .sort();
  const dump = await readFile(join(import.meta.dirname, "../../docs/schema.sql"), "utf8");
  expect(lines(await withDatabase(admin, describeSchema))).toEqual(lines(dump.replace(HEAD, "")));
});

test("distribute says in one line what it cannot do", async () => {
  const { admin, owner, app, workers } = await newDatabase();
  await migrate(owner);
  const refusal = (url: string) =>
    distribute(url, undefined, () => {}).then(
      () => "done",
      (error: Error) => error.message,
    );
  expect(await refusal(asRole(workers[0] ?? "", OWNER))).toMatch(/^This is a worker of a Citus cluster: /);
  expect(await refusal(app)).toMatch(/^The role countersign_app does not own the table /);
  for (const node of workers) {
    const { hostname, port } = new URL(node);
    await run(admin, `select citus_remove_node('${hostname}', ${port})`);
  }
  expect(await refusal(owner)).toMatch(/^The cluster has no node that takes shards: /);
  await run(admin, "drop extension citus cascade");
  expect(await refusal(owner)).toMatch(/^This database has no Citus: /);
  expect(asOwner(app)).toBe(owner);
});
