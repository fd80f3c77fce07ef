import { setImmediate as turn } from "node:timers/promises";
import { sql } from "kysely";
import { expect, test } from "vitest";
import type { App } from "../../src/http/app.ts";
import { cloneDatabase } from "../support/clones.ts";
import { type Answer, call, fund, MARIA } from "../support/fixtures.ts";
import { count } from "../support/long.ts";
import { OPERATOR_KEY, startService } from "../support/service.ts";
import { findViolations } from "./invariants.ts";
import { createWorld, type World } from "./world.ts";

// In a long run 4,000 fund requests, each with something at the same time that ends what it makes: 1,600 alone on their
// contract, 2,400 six to a contract. Fewer to an account than the approvals that may pend on it.
const ALONE = { accounts: count(2, 32), milestones: 50, perContract: 1 };
const TOGETHER = { accounts: count(3, 50), milestones: 48, perContract: 6 };
const AT_ONCE = 16;
/** Turns of the event loop by which a fund request starts late at most: about as long as the other takes. */
const LATE = 12;

const url = await cloneDatabase();
const [funding, ending] = [await startService({}, url), await startService({}, url)];
const { db } = funding;

/** Milestones of one contract, and what ends or changes them while they are being funded. */
type Scene = { world: World; contract: string; milestones: string[]; end: End };
type End = (app: App, scene: Scene) => Promise<Answer>;

const cancel: End = (app, { world, milestones }) =>
  operator(app, "POST", `/accounts/${world.account}/milestones/${milestones[0]}/cancel`);
const changeAmount: End = (app, { world, milestones }) =>
  operator(app, "PUT", `/accounts/${world.account}/milestones/${milestones[0]}`, { amountUsd: 500 });
const endContract: End = (app, { world, contract }) =>
  operator(app, "PUT", `/accounts/${world.account}/contracts/${contract}`, { status: "ended" });
const changePayee: End = (app, { world, contract }) =>
  operator(app, "PUT", `/accounts/${world.account}/contracts/${contract}`, {
    freelancer: { ...MARIA, payoutAccount: "acct_2" },
  });

function operator(app: App, method: "POST" | "PUT", path: string, body?: unknown): Promise<Answer> {
  return call(app, method, `/api/operator/v1${path}`, { token: OPERATOR_KEY, body });
}

async function createScenes(shape: typeof ALONE, ends: readonly [End, End]): Promise<Scene[]> {
  const worlds = await Promise.all(Array.from({ length: shape.accounts }, () => createWorld(db, shape)));
  return worlds.flatMap((world) =>
    [...Map.groupBy(world.milestones, ({ contract }) => contract)].map(([contract, milestones], i) => ({
      world,
      contract,
      milestones: milestones.map(({ id }) => id),
      end: i % 2 === 0 ? ends[0] : ends[1],
    })),
  );
}

async function fundLate({ world }: Scene, milestone: string): Promise<Answer> {
  for (let turns = Math.floor(Math.random() * LATE); turns > 0; turns--) await turn();
  return fund(funding.app, world.token, milestone);
}

async function countDeadlocks(): Promise<number> {
  const { rows } = await sql<{ deadlocks: number }>`
    select deadlocks from pg_stat_database where datname = current_database()`.execute(db);
  return rows[0]?.deadlocks ?? 0;
}

test("no fund request leaves an approval behind on what is cancelled, ended or changed at the same time", async () => {
  const scenes = [
    ...(await createScenes(ALONE, [cancel, changeAmount])),
    ...(await createScenes(TOGETHER, [endContract, changePayee])),
  ].sort(() => Math.random() - 0.5);
  const outcomes = new Map<string, number>();
  const queue = scenes.values();
  const play = async (): Promise<void> => {
    for (const scene of queue) {
      const answers = await Promise.all([
        scene.end(ending.app, scene),
        ...scene.milestones.map((milestone) => fundLate(scene, milestone)),
      ]);
      for (const { status, body } of answers) {
        const outcome = `${status} ${body.details?.reason ?? ""}`.trim();
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, play));

  const accounts = new Set(scenes.map(({ world }) => world.accountId));
  expect(await findViolations(db, [...accounts])).toEqual([]);
  // No request was refused, and the requests did meet: some before, some after.
  expect([...outcomes.keys()].sort()).toEqual([
    "200",
    "202",
    "409 contract_ended",
    "409 milestone_cancelled",
  ]);
  const deadlocks = await countDeadlocks();
  console.log("fund × end:", Object.fromEntries(outcomes), `deadlocks retried: ${deadlocks}`);
  // All lock in one order (invariant 11).
  expect(deadlocks).toBe(0);
}, 120_000);
