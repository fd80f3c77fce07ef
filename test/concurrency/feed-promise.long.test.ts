import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { sql } from "kysely";
import { describe, expect, test, vi } from "vitest";
import { createDice } from "../chaos/dice.ts";
import { cloneDatabase } from "../support/clones.ts";
import { launch, type ServiceProcess, startProcess } from "../support/process.ts";
import { OPERATOR_KEY, PUBLIC_URL, serviceEnvironment, startService } from "../support/service.ts";
import type { Outcome, WriterTask } from "./feed-writer.ts";
import { createWorld, type World } from "./world.ts";

// Seconds on an idle machine; others may share this one.
vi.setConfig({ testTimeout: 180_000 });

const ROUNDS = Number(process.env.FEED_ROUNDS ?? 3);
const SIZE = { processes: 3, writers: 4, transactions: ROUNDS === 1 ? 25 : 60 };
const ACCOUNTS = 3;
const WRITER = join(import.meta.dirname, "feed-writer.ts");
/** Every page size from 1, each by a reader who waits and by one who asks again and again. */
const READERS = [1, 2, 3, 4, 5, 6, 7, 50].flatMap((limit) => [
  { limit, wait: 30 },
  { limit, wait: 0 },
]);
const END = "end";

const url = await cloneDatabase();
const { db } = await startService({}, url);
const services = await Promise.all([
  startProcess("start", url, { PUBLIC_URL }),
  startProcess("serve", url, { PUBLIC_URL }),
]);
const service = (n: number): ServiceProcess => {
  const one = services[n % services.length];
  if (one === undefined) throw new TypeError("there are two");
  return one;
};

type Seen = { id: string; resourceId: string; accountId?: string };
type Reader = { path: string; token: string; limit: number; wait: number; n: number };

/** Follows a feed page by page, from `cursor` on, until it has seen the last event of so many accounts. */
async function follow(
  { path, token, limit, wait, n }: Reader,
  from: string | undefined,
  ends: number,
): Promise<Seen[]> {
  const seen: Seen[] = [];
  let cursor = from;
  for (let ended = 0; ended < ends; ) {
    const query = `limit=${limit}&wait=${wait}${cursor === undefined ? "" : `&cursor=${cursor}`}`;
    const { status, body } = await service(n).call("GET", `${path}?${query}`, { token });
    expect(status, JSON.stringify(body)).toBe(200);
    expect(body.events.length).toBeLessThanOrEqual(limit);
    seen.push(...body.events);
    ended += body.events.filter(({ resourceId }: Seen) => resourceId === END).length;
    if (body.events.length > 0) expect(body.nextCursor).toBe(body.events.at(-1).id);
    else if (cursor !== undefined) expect(body.nextCursor).toBe(cursor);
    if (wait === 0 && !body.hasMore) await delay(20);
    cursor = body.nextCursor;
  }
  return seen;
}

/** Breaks what wakes readers now and then: connections that listen, and a process that extends the operator's feed. */
async function disturb(seed: number, until: Promise<unknown>): Promise<void> {
  const dice = createDice(seed);
  let over = false;
  void until.finally(() => {
    over = true;
  });
  const worker = launch(["work"], serviceEnvironment(url));
  while (!over) {
    await delay(dice.between(100, 500));
    await sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and application_name = 'countersign changes' and random() < 0.5`.execute(
      db,
    );
    if (dice.roll() < 0.2) void worker.kill9();
  }
  await worker.kill9();
}

/** What processes write, one of which dies in the middle, as far as they could say. */
async function write(seed: number, accounts: string[]): Promise<{ outcomes: Outcome[]; unsaid: number }> {
  const programs = Array.from({ length: SIZE.processes }, (_, n) => {
    const task: WriterTask = { ...SIZE, name: `w${n}`, url, seed: seed + n, accounts };
    return launch([JSON.stringify(task)], {}, WRITER);
  });
  const [victim, ...others] = programs;
  const lines = () => (victim?.output() ?? "").split("\n").length;
  let gone = false;
  void victim?.ended.then(() => {
    gone = true;
  });
  const killing = (async () => {
    const half = (SIZE.writers * SIZE.transactions) / 2;
    while (lines() < half && !gone) await delay(20);
    expect(gone, victim?.output()).toBe(false);
    return victim?.kill9();
  })();
  const ended = [await killing, ...(await Promise.all(others.map((program) => program.ended)))];
  for (const end of ended.slice(1)) expect(end).toMatchObject({ code: 0, stderr: "" });
  const outcomes = ended.flatMap((end) =>
    (end?.stdout ?? "")
      .split("\n")
      .filter((line) => line.endsWith("}"))
      .map((line): Outcome => JSON.parse(line)),
  );
  // Each of the dead one's writers may have committed once more than it could say.
  return { outcomes, unsaid: SIZE.writers };
}

async function readEvents(world: World): Promise<Seen[]> {
  const { rows } = await sql<Seen>`
    select number::text as id, resource_id as "resourceId" from events
    where account_id = ${world.accountId} order by number`.execute(db);
  return rows;
}

const ids = (seen: readonly Seen[]) => seen.map(({ id, resourceId }) => ({ id, resourceId }));
const count = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => String(from + i + 1));

describe.each(Array.from({ length: ROUNDS }, (_, i) => i + 1))("round %i", () => {
  test("every reader sees every event once, in order, and none that was rolled back", async () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    console.log(`seed ${seed}`);
    const worlds: World[] = [];
    for (let i = 0; i < ACCOUNTS; i++) worlds.push(await createWorld(db, { milestones: 1 }));
    const operator = { path: "/api/operator/v1/updates", token: OPERATOR_KEY };
    const head = await service(0).call("GET", `${operator.path}?cursor=${"9".repeat(18)}`, operator);
    const start: string = head.body.details.latestCursor;

    const readers = READERS.map((reader, n) => {
      const world = worlds[n % ACCOUNTS] as World;
      return { world, seen: follow({ path: "/updates", token: world.token, ...reader, n }, undefined, 1) };
    });
    const operators = READERS.map((reader, n) =>
      follow({ ...operator, ...reader, n: n + 1 }, start, ACCOUNTS),
    );
    const reading = Promise.all([...readers.map(({ seen }) => seen), ...operators]);
    const disturbing = disturb(seed, reading);
    const { outcomes, unsaid } = await write(
      seed,
      worlds.map(({ accountId }) => accountId),
    );
    for (const { account } of worlds) {
      const body = { type: "message.received", resourceId: END };
      const path = `/api/operator/v1/accounts/${account}/events`;
      expect((await service(1).call("POST", path, { token: OPERATOR_KEY, body })).status).toBe(201);
    }
    await reading;
    await disturbing;

    const feeds = new Map<string, Seen[]>();
    for (const world of worlds) feeds.set(world.account, await readEvents(world));
    const written = [...feeds.values()].flat().map(({ resourceId }) => resourceId);
    const said = (committed: boolean) =>
      outcomes.filter((one) => one.committed === committed).flatMap(({ resourceIds }) => resourceIds);
    expect(said(true).filter((id) => !written.includes(id))).toEqual([]);
    expect(said(false).filter((id) => written.includes(id))).toEqual([]);
    expect(said(false).length).toBeGreaterThan(50);
    expect(written.length - ACCOUNTS - said(true).length).toBeLessThanOrEqual(5 * unsaid);

    for (const feed of feeds.values()) {
      expect(feed.map(({ id }) => id)).toEqual(count(0, feed.length));
      expect(new Set(feed.map(({ resourceId }) => resourceId)).size).toBe(feed.length);
    }
    for (const { world, seen } of readers) expect(ids(await seen)).toEqual(feeds.get(world.account));
    for (const seen of operators) {
      const all = await seen;
      expect(all.map(({ id }) => id)).toEqual(count(Number(start), Number(start) + written.length));
      for (const [account, feed] of feeds) {
        const mine = all.filter(({ accountId }) => accountId === account);
        expect(mine.map(({ resourceId }) => resourceId)).toEqual(feed.map(({ resourceId }) => resourceId));
      }
    }
  });
});
