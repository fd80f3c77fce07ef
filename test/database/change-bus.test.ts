import { sql } from "kysely";
import pg from "pg";
import { describe, expect, onTestFinished, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { ChangeBus, type Woken } from "../../src/database/change-bus.ts";
import { connect, type Db } from "../../src/database/connection.ts";
import { type Listening, startListening } from "../../src/database/listening.ts";
import { inTransaction, noteChange } from "../../src/database/transaction.ts";
import { newId } from "../../src/lib/ids.ts";
import { cloneDatabase, directUrl } from "../support/clones.ts";
import { closeAfterFile } from "../support/closing.ts";
import { waitUntil } from "../support/process.ts";

// LISTEN does not go through a pooler.
const url = directUrl(await cloneDatabase());

/** What a process has for its wake-ups: a pool, a hub, and the connection that listens. */
type Party = { db: Db; changeBus: ChangeBus; heard: Woken[]; listening: Listening };

async function createParty(): Promise<Party> {
  const connection = connect(url, {
    size: 5,
    statementTimeout: 5_000,
    lockTimeout: 3_000,
    onIdleError: () => {},
  });
  const { db } = connection;
  const changeBus = new ChangeBus(db);
  const heard: Woken[] = [];
  changeBus.subscribe((woken) => heard.push(woken));
  const listening = await startListening({ db, changeBus, url, logger: createLogger("silent") });
  closeAfterFile(async () => {
    await listening.stop();
    await connection.close();
  });
  return { db, changeBus, heard, listening };
}

const [mine, theirs] = [await createParty(), await createParty()];

const commit = (db: Db, names: readonly string[]): Promise<void> =>
  inTransaction(db, async (trx) => {
    for (const name of names) noteChange(trx, name);
  });
const countOf = (heard: readonly Woken[], name: string) =>
  heard.filter((woken) => woken !== "all" && woken.has(name)).length;
const hears = ({ heard }: Party, name: string) =>
  waitUntil(() => countOf(heard, name) > 0, `${name} was heard of`);

/** What is sent on the channel of `names` or of all, as a stranger hears it: what tests before have sent may still come. */
async function overhear(names: readonly string[]): Promise<string[]> {
  const wanted = new Set(["*", ...names]);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  onTestFinished(() => client.end());
  const payloads: string[] = [];
  client.on("notification", ({ payload = "" }) => {
    if (payload.split(",").some((name) => wanted.has(name))) payloads.push(payload);
  });
  await client.query("listen countersign_changes");
  return payloads;
}

describe("a commit", () => {
  test("wakes its own process before its caller goes on, and every other one soon, once each", async () => {
    const [one, other] = [newId(), newId()];
    await commit(mine.db, [one, other]);
    expect(countOf(mine.heard, one)).toBe(1);
    await hears(theirs, one);
    expect(countOf(theirs.heard, other)).toBe(1);
    // What comes back from the database has passed by the first process by the time that this one has.
    const last = newId();
    await commit(theirs.db, [last]);
    await hears(mine, last);
    expect(countOf(mine.heard, one)).toBe(1);
  });

  test("that is rolled back, or changed no feed, publishes nothing", async () => {
    const never = newId();
    const undone = inTransaction(mine.db, async (trx) => {
      noteChange(trx, never);
      throw new Error("changed its mind");
    });
    await expect(undone).rejects.toThrow("changed its mind");
    const before = mine.heard.length;
    await commit(mine.db, []);
    expect(mine.heard).toHaveLength(before);
    const last = newId();
    await commit(mine.db, [last]);
    await hears(theirs, last);
    expect(countOf(theirs.heard, never) + countOf(mine.heard, never)).toBe(0);
  });

  test("that was tried again after a deadlock wakes once", async () => {
    const name = newId();
    let attempts = 0;
    await inTransaction(mine.db, async (trx) => {
      noteChange(trx, name);
      attempts += 1;
      if (attempts === 1) await sql`do $$ begin raise exception using errcode = '40P01'; end $$`.execute(trx);
    });
    expect([attempts, countOf(mine.heard, name)]).toEqual([2, 1]);
  });
});

describe("what other processes are told", () => {
  test("is coalesced: 20 notifications a second at most, and none without a commit", async () => {
    const names = Array.from({ length: 400 }, newId);
    const payloads = await overhear(names);
    const party = await createParty();
    const began = performance.now();
    for (const name of names) await commit(party.db, [name]);
    // So that none of it is still on its way when the next test listens.
    await party.listening.stop();
    const tell = () => payloads.flatMap((payload) => payload.split(","));
    await waitUntil(() => ["*", names.at(-1) ?? ""].includes(tell().at(-1) ?? ""), "the last one is told of");
    const atMost = 2 + (performance.now() - began) / 50;
    expect(payloads.length).toBeLessThan(atMost);
    const told = tell();
    if (!told.includes("*")) expect(told).toEqual(names);
  });

  test("is 'everybody' when the names would not fit into what Postgres takes", async () => {
    const fit = Array.from({ length: 216 }, newId);
    const payloads = await overhear(fit);
    await commit(mine.db, fit);
    await hears(theirs, fit[0] ?? "");
    const before = theirs.heard.length;
    await commit(mine.db, [...fit, newId()]);
    await waitUntil(() => theirs.heard.slice(before).includes("all"), "the others are woken");
    await waitUntil(() => payloads.length === 2, "both are overheard");
    expect(payloads.map((payload) => payload.length)).toEqual([216 * 37 - 1, 1]);
  });

  test("is told before a process stops", async () => {
    const party = await createParty();
    const name = newId();
    await commit(party.db, [name]);
    await party.listening.stop();
    await hears(theirs, name);
  });
});

describe("a connection that listens", () => {
  const kill = (db: Db) =>
    sql`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and application_name = 'countersign changes'`.execute(db);

  test("reconnects when it is killed, wakes all for what it may have missed, and hears again", async () => {
    mine.heard.length = 0;
    theirs.heard.length = 0;
    await kill(mine.db);
    const meanwhile = newId();
    await commit(mine.db, [meanwhile]);
    for (const { heard } of [mine, theirs])
      await waitUntil(() => heard.includes("all"), "all are woken, as it is unknown what was missed");
    const after = newId();
    await commit(mine.db, [after]);
    await hears(theirs, after);
  });

  test("is refused at the start when there is no way to the database", async () => {
    const nowhere = new URL(url);
    nowhere.port = "1";
    const { db, changeBus } = mine;
    const starting = startListening({ db, changeBus, url: nowhere.href, logger: createLogger("silent") });
    await expect(starting).rejects.toThrow(/ECONNREFUSED/);
  });
});
