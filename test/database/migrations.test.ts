import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { sql } from "kysely";
import { afterAll, describe, expect, test } from "vitest";
import { type Connection, connect, type Db } from "../../src/database/connection.ts";
import { migrate, pendingMigrations } from "../../src/database/migrate.ts";
import { cloneDatabase, emptyDatabase } from "../support/clones.ts";
import { runProgram } from "../support/process.ts";
import { serviceEnvironment } from "../support/service.ts";

const FILES = (await readdir(join(import.meta.dirname, "../../migrations")))
  .map((file) => file.replace(/\.ts$/, ""))
  .sort();

const open: Connection[] = [];
afterAll(() => Promise.all(open.map((connection) => connection.close())));

function openDatabase(url: string): Db {
  const connection = connect(url, {
    size: 5,
    onIdleError: () => {},
  });
  open.push(connection);
  return connection.db;
}

describe("migrating", () => {
  test("brings an empty database to this version, and does nothing the next time", async () => {
    const url = await emptyDatabase();
    const db = openDatabase(url);
    expect(await pendingMigrations(db)).toEqual(FILES);
    expect(await migrate(url)).toEqual({ ran: FILES, newer: [] });
    expect(await pendingMigrations(db)).toEqual([]);
    expect(await migrate(url)).toEqual({ ran: [], newer: [] });
  });

  test("runs each migration once when many start at once", async () => {
    const url = await emptyDatabase();
    const ran = await Promise.all(Array.from({ length: 6 }, () => migrate(url)));
    expect(ran.flatMap((one) => one.ran)).toEqual(FILES);
    expect(await pendingMigrations(openDatabase(url))).toEqual([]);
  });

  test("is safe from two processes at once, and again: all end with 0 and say so", async () => {
    const url = await emptyDatabase();
    const run = () => runProgram(["migrate"], serviceEnvironment(url));
    const done = { code: 0, stdout: "The database is at this version's schema.\n", stderr: "" };
    expect(await Promise.all([run(), run()])).toMatchObject([done, done]);
    expect(await pendingMigrations(openDatabase(url))).toEqual([]);
    expect(await run()).toMatchObject(done);
  });
});

/** Copied to every node where the accounts' tables are distributed, so that each of them may point at it. */
const EVERYWHERE = "processor";

describe("keys", async () => {
  const db = openDatabase(await cloneDatabase());
  // What belongs to no account: say why here before you add one.
  const SHARED = new Set([
    "kysely_migration",
    "kysely_migration_lock",
    // Buckets of tokens and addresses, forgotten after minutes.
    "mails",
    // The feed of all accounts, in one sequence.
    "operator_events",
    "operator_head",
    "operator_webhook",
    "rate_windows",
    "sweeps",
    "write_probes",
    // Which credentials were accepted of late: looked for by digest alone, before any account is.
    "known_credentials",
    // In which run of the server the processor was searched for all accounts' lost payments.
    "processor_search",
    // Which processor all accounts of the database pay through.
    "processor",
    // Whether all payments are paused.
    "payment_pause",
    // What the processor said happened: whose it is, is known when the subject has been read.
    "processor_events",
  ]);

  type Key = {
    table: string;
    name: string;
    columns: string[];
    target: string | null;
    targets: string[] | null;
  };

  /** Primary keys, unique indexes and foreign keys of the tables of ours, the processor's own books aside. */
  async function listKeys(): Promise<{ primary: Key[]; unique: Key[]; foreign: Key[] }> {
    const attributes = (table: string, numbers: string) => sql`(
      select array_agg(a.attname::text order by k.position) from unnest(${sql.ref(numbers)}::int2[]) with ordinality as k (number, position)
      join pg_attribute a on a.attrelid = ${sql.ref(table)} and a.attnum = k.number)`;
    const indexes = await sql<Key & { primary: boolean }>`
      select c.relname as table, x.relname as name, i.indisprimary as primary,
        ${attributes("i.indrelid", "i.indkey")} as columns, null as target, null as targets
      from pg_index i join pg_class c on c.oid = i.indrelid join pg_class x on x.oid = i.indexrelid
      where c.relnamespace = 'public'::regnamespace and i.indisunique`.execute(db);
    const foreign = await sql<Key>`
      select c.relname as table, o.conname as name, ${attributes("o.conrelid", "o.conkey")} as columns,
        t.relname as target, ${attributes("o.confrelid", "o.confkey")} as targets
      from pg_constraint o join pg_class c on c.oid = o.conrelid join pg_class t on t.oid = o.confrelid
      where c.relnamespace = 'public'::regnamespace and o.contype = 'f'`.execute(db);
    return {
      primary: indexes.rows.filter((row) => row.primary),
      unique: indexes.rows.filter((row) => !row.primary),
      foreign: foreign.rows,
    };
  }

  async function listTables(): Promise<string[]> {
    const { rows } = await sql<{ name: string }>`
      select relname as name from pg_class
      where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')`.execute(db);
    return rows.map((row) => row.name);
  }

  test("every table has account_id first in its primary key, but for those that belong to no account", async () => {
    const { primary } = await listKeys();
    const first = new Map(primary.map((key) => [key.table, key.columns[0]]));
    const tables = await listTables();
    expect(tables).toContain("approvals");
    expect(tables.filter((table) => first.get(table) !== "account_id").sort()).toEqual([...SHARED].sort());
  });

  test("every unique index and foreign key of an account's table has account_id first, on both sides", async () => {
    const { unique, foreign } = await listKeys();
    expect(unique.length).toBeGreaterThan(0);
    expect(foreign.length).toBeGreaterThan(0);
    const wrong = [...unique, ...foreign].filter(
      ({ table, columns, target, targets }) =>
        !SHARED.has(table) &&
        target !== EVERYWHERE &&
        (columns[0] !== "account_id" || (targets !== null && targets[0] !== "account_id")),
    );
    expect(wrong).toEqual([]);
  });

  test("no account's table points at one that belongs to none, but for the processor's name", async () => {
    const { foreign } = await listKeys();
    const shared = foreign.filter(({ target }) => target !== null && SHARED.has(target));
    expect(shared.filter(({ target }) => target !== EVERYWHERE)).toEqual([]);
    for (const { targets } of shared) expect(targets).toEqual(["name"]);
  });
});
