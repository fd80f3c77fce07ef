import { expect, test } from "vitest";
import { LONG, some } from "../support/long.ts";
import { startProcess, waitUntil } from "../support/process.ts";
import { findDisagreements } from "../support/rails.ts";
import { readOutcome, type Stories } from "../support/stories.ts";
import { crossedBy, type How, OUTGOING, type OutgoingKind } from "./crossings.ts";
import { confirmUntilDeath, countInDoubt, KILLED_ENV, KILLED_MAIN } from "./killing.ts";
import { answerRefunds, createMany, isPlayed, openWorlds, sentFor } from "./outgoing.ts";

const worlds = some(await openWorlds(), 1);
const KINDS: OutgoingKind[] = ["payout", "refund"];
const HOWS = Object.keys(OUTGOING) as How[];
const OUT_OF_DOUBT_WITHIN = 90_000;

type Killed = Stories & { kind: OutgoingKind; how: How };

const promise =
  "over the rails of $name: a process that dies at any boundary of a payout or a refund leaves none in doubt, and none twice";
test.for(worlds)(promise, { timeout: LONG ? 900_000 : 300_000 }, async (world) => {
  const { rails, url, db } = world;
  const killed: Killed[] = [];
  for (const kind of KINDS) {
    for (const how of some(HOWS, 1).filter((one) => isPlayed(world, kind, one))) {
      // A bank answers later there that it takes nothing.
      const late = rails.stripe !== undefined && kind === "refund" && how === "refused" ? "pending" : how;
      const crosses = crossedBy(kind, late);
      const stories = await createMany(world, kind, how, crosses.length);
      await confirmUntilDeath(url, rails, stories, { crosses });
      killed.push({ ...stories, kind, how });
    }
  }
  expect(await countInDoubt(db)).toBeGreaterThan(0);
  await startProcess("start", url, { ...rails.env, ...KILLED_ENV }, KILLED_MAIN);
  const settled = async () => {
    for (const { stories, how } of killed) answerRefunds(world, stories[0]?.accountId ?? "", how);
    return (await countInDoubt(db)) === 0;
  };
  await waitUntil(settled, "nothing is in doubt", OUT_OF_DOUBT_WITHIN);

  for (const { stories, kind, how } of killed) {
    const outcomes = await Promise.all(stories.map((story) => readOutcome(db, story)));
    // The one that died before the first boundary has begun nothing.
    const begun = outcomes.filter(({ payment }) => payment !== undefined);
    expect(begun).toHaveLength(stories.length - 1);
    const moves = OUTGOING[how].end === "confirmed";
    // What no bank takes back goes to the credits: the contract ends all the same.
    const approval = moves || kind === "refund" ? "confirmed" : "pending";
    const end = { approval, payment: moves ? "succeeded" : "refused" };
    expect(begun, `a ${kind} that ${how}`).toEqual(begun.map(() => end));
    const sent = await sentFor(world, stories[0]?.accountId ?? "");
    expect(sent[kind === "payout" ? "payouts" : "refunds"]).toBe(moves ? begun.length : 0);
  }
  expect(await findDisagreements(db, rails)).toEqual([]);
});
