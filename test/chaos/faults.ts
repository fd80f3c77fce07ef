import { setTimeout as delay } from "node:timers/promises";
import type { TestClock } from "../support/clock.ts";
import type { Dice, Tally } from "./dice.ts";
import type { Instance } from "./instance.ts";
import type { FragilePostgres } from "./postgres.ts";

/** What faults are made of, and the count of them. */
export type Weather = {
  dice: Dice;
  tally: Tally;
  instances: readonly Instance[];
  postgres: FragilePostgres;
  clock: TestClock;
};

const STOPPED = { from: 200, to: 6_000 };
/** By how much the database's clock is off, in seconds: as between servers without clock synchronisation. */
const CLOCK = { from: -10, to: 10 };
const BEHIND = { from: 50, to: 1_500 };

type Fault = (weather: Weather) => Promise<void>;

const killService: Fault = async ({ dice, instances }) => dice.pick(instances).kill();

const killServices: Fault = async ({ instances }) => {
  for (const instance of instances) instance.kill();
};

const killPostgres: Fault = async ({ dice, tally, postgres }) => {
  tally.add("postgres killed");
  await postgres.kill(dice.between(0, 2_000));
};

const stopService: Fault = async ({ dice, tally, instances }) => {
  tally.add("service stopped for a while");
  await dice.pick(instances).suspend(dice.between(STOPPED.from, STOPPED.to));
};

const loseCommit: Fault = async ({ dice, tally, postgres }) => {
  const where = dice.pick(["before", "after"] as const);
  const lost = await postgres.loseCommit(where);
  tally.add(
    lost ? `commit lost, ${where === "before" ? "before it came" : "with its answer"}` : "no commit to lose",
  );
};

const stepClock: Fault = async ({ dice, tally, clock }) => {
  const ahead = Math.round(dice.between(CLOCK.from, CLOCK.to));
  // Its own connection may be the one that is lost.
  const set = await clock.set(ahead).then(
    () => true,
    () => false,
  );
  tally.add(set ? "clock set" : "clock not set");
};

export const failOver: Fault = async ({ dice, tally, postgres }) => {
  await postgres.failOver(dice.between(BEHIND.from, BEHIND.to));
  tally.add("failed over");
};

/** How likely each is; fail-overs only where there is a standby. */
const KINDS: readonly { fault: Fault; weight: number; needsStandby?: true }[] = [
  { fault: loseCommit, weight: 44 },
  { fault: stepClock, weight: 16 },
  { fault: stopService, weight: 14 },
  { fault: killService, weight: 14 },
  { fault: killServices, weight: 3 },
  { fault: killPostgres, weight: 4 },
  { fault: failOver, weight: 5, needsStandby: true },
];

/** A fault of some kind. */
export function pickFault({ roll }: Dice, hasStandby: boolean): Fault {
  const kinds = KINDS.filter(({ needsStandby }) => hasStandby || !needsStandby);
  let left = roll() * kinds.reduce((sum, { weight }) => sum + weight, 0);
  for (const { fault, weight } of kinds) {
    left -= weight;
    if (left < 0) return fault;
  }
  return loseCommit;
}

/** So long, now and then longer, until the next one. */
export function pause({ roll, between }: Dice, stopping: AbortSignal): Promise<void> {
  const wait = roll() < 0.2 ? between(1_000, 4_000) : between(50, 800);
  return delay(wait, undefined, { signal: stopping }).catch(() => {});
}
