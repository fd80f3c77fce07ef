import { setImmediate as turn } from "node:timers/promises";
import { expect, test, vi } from "vitest";
import { readClock } from "../../src/database/clock.ts";
import { inTransaction } from "../../src/database/transaction.ts";
import { appendEvents } from "../../src/events/service.ts";
import { cloneDatabase } from "../support/clones.ts";
import { type Answer, call } from "../support/fixtures.ts";
import { count } from "../support/long.ts";
import { startProcess } from "../support/process.ts";
import { OPERATOR_KEY, PUBLIC_URL, startService } from "../support/service.ts";
import { findViolations } from "./invariants.ts";
import { createWorld } from "./world.ts";

// Seconds on an idle machine; others may share this one.
vi.setConfig({ testTimeout: 120_000 });

const ROUNDS = count(6, 25);
const PAGE_SIZES = [1, 2, 3, 4, 5, 6, 7];

const url = await cloneDatabase();
const { app, db } = await startService({}, url);
const processes = await Promise.all([
  startProcess("serve", url, { PUBLIC_URL }),
  startProcess("serve", url, { PUBLIC_URL }),
]);
const world = await createWorld(db, { milestones: ROUNDS * 2 + 1 });
const operator = `/api/operator/v1/accounts/${world.account}`;

const oneOf = (n: number) => {
  const process = processes[n % processes.length];
  if (process === undefined) throw new TypeError("there are two");
  return process;
};
const operate = (n: number, method: string, path: string, body?: unknown): Promise<Answer> =>
  oneOf(n).call(method, `${operator}${path}`, { token: OPERATOR_KEY, body });

/** Events that only the operator knows of. */
async function postEvents(writer: number): Promise<number> {
  for (let i = 0; i < ROUNDS; i++) {
    const body = { type: "message.received", resourceId: `message-${writer}-${i}` };
    expect((await operate(writer, "POST", "/events", body)).status).toBe(201);
  }
  return ROUNDS;
}

/** New milestones, each told of; and one under a contract that has ended, which is refused and rolled back. */
async function createMilestones(writer: number): Promise<number> {
  const [milestone, last] = [world.milestones[0], world.milestones.at(-1)];
  for (let i = 0; i < ROUNDS; i++) {
    const body = { contractId: milestone?.contract, description: "More scenes", amountUsd: 20 };
    const id = `${world.account}-${writer}-${i}`;
    expect((await operate(writer, "PUT", `/milestones/${id}`, body)).status).toBe(201);
    const refused = await operate(writer + 1, "PUT", `/milestones/${id}-x`, {
      ...body,
      contractId: last?.contract,
    });
    expect(refused.body.details.reason).toBe("contract_ended");
  }
  return ROUNDS;
}

/** Approvals that are asked for and end, with the milestone's own event before it. */
async function fundAndCancel(writer: number): Promise<number> {
  for (const { id } of world.milestones.slice(writer * ROUNDS, (writer + 1) * ROUNDS)) {
    const funded = await oneOf(writer).call("POST", `/milestones/${id}/fund`, { token: world.token });
    expect(funded.status).toBe(202);
    expect((await operate(writer + 1, "POST", `/milestones/${id}/cancel`)).status).toBe(200);
  }
  return ROUNDS * 2;
}

/** Takes numbers, writes its events, lets others pile up behind the account's head, and takes it all back. */
async function rollBack(): Promise<number> {
  const events = ["a", "b", "c"].map((name) => ({
    type: "message.received" as const,
    resourceId: `never-${name}`,
    jobId: null,
    data: {},
  }));
  for (let i = 0; i < ROUNDS; i++) {
    const work = inTransaction(db, async (trx) => {
      await appendEvents(trx, world.accountId, events, await readClock(trx));
      for (let turns = 0; turns < 20; turns++) await turn();
      throw new Error("changed its mind");
    });
    await expect(work).rejects.toThrow("changed its mind");
  }
  return 0;
}

type Seen = { id: string; type: string; resourceId: string };

/** Follows `nextCursor` from the beginning, page by page, until told that all is written and the last page read. */
async function follow(
  n: number,
  limit: number,
  written: () => boolean,
): Promise<{ seen: Seen[]; live: number }> {
  const seen: Seen[] = [];
  let live = 0;
  let cursor: string | undefined;
  for (;;) {
    const last = written();
    const query = cursor === undefined ? `limit=${limit}` : `limit=${limit}&cursor=${cursor}`;
    const { status, body } = await oneOf(n).call("GET", `/updates?${query}`, { token: world.token });
    expect(status).toBe(200);
    expect(body.events.length).toBeLessThanOrEqual(limit);
    seen.push(...body.events);
    cursor = body.nextCursor;
    if (!last) live = seen.length;
    else if (!body.hasMore) return { seen, live };
  }
}

test("a reader who follows the feed while two processes write sees every event once, in order, none rolled back", async () => {
  const ended = await operate(0, "PUT", `/contracts/${world.milestones.at(-1)?.contract}`, {
    status: "ended",
  });
  expect(ended.status).toBe(200);

  let written = false;
  const writers = Promise.all([
    postEvents(0),
    postEvents(1),
    createMilestones(0),
    createMilestones(1),
    fundAndCancel(0),
    fundAndCancel(1),
    rollBack(),
  ]).finally(() => {
    written = true;
  });
  const readers = Promise.all(PAGE_SIZES.map((limit, n) => follow(n, limit, () => written)));
  const [counts, followed] = await Promise.all([writers, readers]);

  const total = counts.reduce((a, b) => a + b);
  const numbers = Array.from({ length: total }, (_, i) => String(i + 1));
  const [first] = followed;
  for (const { seen, live } of followed) {
    expect(seen.map(({ id }) => id)).toEqual(numbers);
    expect(seen).toEqual(first?.seen);
    // Or they would not have read while others wrote.
    expect(live).toBeGreaterThan(0);
  }
  const told = new Set(first?.seen.map(({ type, resourceId }) => `${type} ${resourceId}`));
  expect(told.size).toBe(total);
  expect([...told].filter((what) => what.includes("never"))).toEqual([]);
  expect(await findViolations(db, [world.accountId])).toEqual([]);
  const { body } = await call(app, "GET", `${operator}/events?limit=200&cursor=${total}`, {
    token: OPERATOR_KEY,
  });
  expect(body).toEqual({ events: [], nextCursor: String(total), hasMore: false });
});
