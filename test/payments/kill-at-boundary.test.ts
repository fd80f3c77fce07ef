import { describe, expect, test } from "vitest";
import type { Db } from "../../src/database/connection.ts";
import { readTotals } from "../support/books.ts";
import { cloneDatabase } from "../support/clones.ts";
import { count, some } from "../support/long.ts";
import { startProcess, waitUntil } from "../support/process.ts";
import { findDisagreements, openRails } from "../support/rails.ts";
import { startService } from "../support/service.ts";
import { createStories, putCard, readOutcome, type Stories, type Story } from "../support/stories.ts";
import { answerBank, type Browser, decideAt, signInAt } from "../support/visitor.ts";
import { type BankAnswer, type Path, REQUESTS } from "./crossings.ts";
import { confirmUntilDeath, countInDoubt, inParallel, KILLED_ENV, KILLED_MAIN } from "./killing.ts";

const OUT_OF_DOUBT_WITHIN = 60_000;
// On two cores, more processes only start more slowly.
const AT_ONCE = 2;

const worlds = await Promise.all(
  some(await openRails(), 1).map(async (rails) => {
    const url = await cloneDatabase();
    const { app, db } = await startService({}, url, rails);
    return { name: rails.name, rails, url, app, db };
  }),
);

type Killed = Stories & { path: Path };

/** The bank is answered until it has heard: the sweep may just be looking at the attempt. */
async function endWaiting(db: Db, browser: Browser, story: Story, answer: BankAnswer): Promise<void> {
  const waits = async () => (await readOutcome(db, story)).payment === "action_required";
  let heard: unknown;
  await waitUntil(async () => {
    if (!(await waits())) return true;
    if (heard === undefined || answer === "give-up") heard = await answerBank(browser, story.path, answer);
    return false;
  }, `${story.approvalId} has heard from the bank`);
}

async function expectOutcomes(db: Db, { path, stories }: Killed): Promise<void> {
  const outcomes = await Promise.all(stories.map((story) => readOutcome(db, story)));
  // Signing starts an attempt: the one that died before it has written nothing.
  const unwritten = path.crosses.includes("write-signed-attempt:before") ? 1 : 0;
  const paid = path.end === "refused" || path.answer === "give-up" ? 0 : stories.length - unwritten;
  const counts = {
    unwritten: outcomes.filter(({ approval, payment }) => approval === "pending" && payment === undefined),
    paid: outcomes.filter(({ approval, payment }) => approval === "confirmed" && payment === "succeeded"),
    refused: outcomes.filter(({ approval, payment }) => approval === "pending" && payment === "refused"),
  };
  expect(
    Object.values(counts).map((list) => list.length),
    `unwritten, paid and refused of ${path.card} ${path.answer}`,
  ).toEqual([unwritten, paid, stories.length - unwritten - paid]);
}

describe("whatever boundary a process dies at, with whatever card", () => {
  const promise =
    "over the rails of $name: in 60 s after a restart, without help, no payment is in doubt and the books agree";
  // Mostly they wait.
  test.concurrent.for(worlds)(promise, { timeout: 300_000 }, async ({ rails, url, app, db }) => {
    const faults = () => findDisagreements(db, rails);
    const killed: Killed[] = [];
    await inParallel(AT_ONCE, some(REQUESTS, 1), async (path) => {
      const stories = await createStories(app, rails.cards[path.card], path.crosses.length);
      await confirmUntilDeath(url, rails, stories, path);
      killed.push({ path, ...stories });
    });
    expect(await countInDoubt(db)).toBeGreaterThan(count(5, 40));

    const restarted = await startProcess("start", url, { ...rails.env, ...KILLED_ENV }, KILLED_MAIN);
    const none = async () => (await countInDoubt(db)) === 0;
    await waitUntil(none, "no payment is in doubt", OUT_OF_DOUBT_WITHIN);

    const origin = `http://127.0.0.1:${restarted.port}`;
    await inParallel(AT_ONCE, killed, async (one) => {
      const { human, stories, fixture, path } = one;
      const browser = await signInAt(origin, human.email);
      for (const story of stories) await endWaiting(db, browser, story, path.answer ?? "pass");
      await expectOutcomes(db, one);
      expect(await faults()).toEqual([]);

      await putCard(app, fixture.account, rails.cards.pays);
      for (const story of stories) {
        if ((await readOutcome(db, story)).approval === "confirmed") continue;
        expect((await decideAt(browser, story.path, "confirm")).status).toBe(303);
        expect(await readOutcome(db, story)).toEqual({ approval: "confirmed", payment: "succeeded" });
      }
    });
    expect(await faults()).toEqual([]);
    const cents = 45_000 * killed.flatMap(({ stories }) => stories).length;
    const all = { succeeded: cents, charged: cents, invoiced: cents, booked: cents, sum: 0 };
    expect(await readTotals(db, rails.books())).toEqual(all);
  });
});
