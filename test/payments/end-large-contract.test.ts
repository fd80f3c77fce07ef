import { expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { sweepDuePayments } from "../../src/approvals/jobs.ts";
import { askEnd, createEscrow, readApproval } from "../support/escrow.ts";
import { count, some } from "../support/long.ts";
import { startProcess, waitUntil } from "../support/process.ts";
import { findDisagreements } from "../support/rails.ts";
import { confirmNow } from "../support/stories.ts";
import { type Browser, decideAt, signInAt } from "../support/visitor.ts";
import { actUntilDeath, KILLED_ENV, KILLED_MAIN } from "./killing.ts";
import { makeDue, openWorlds, sentFor, type World } from "./outgoing.ts";

const worlds = some(await openWorlds(), 1);
const MILESTONES = count(12, 300);
const WITHIN = count(120_000, 900_000);
/** What stands at these when the process dies; all else of the contract's refunds has gone, or was not begun. */
const DIES_AT = [
  "call-send:before",
  "call-send:after",
  "write-success:before",
  "write-success:after",
] as const;

async function expectEnded(world: World, escrow: Awaited<ReturnType<typeof createEscrow>>, approval: any) {
  const { accountId, milestones } = escrow;
  expect(approval).toMatchObject({ status: "confirmed", result: { contractEnded: true } });
  const refunded = approval.result.refunds.map(({ milestoneId }: any) => milestoneId);
  expect(new Set(refunded)).toEqual(new Set(milestones));
  expect(await sentFor(world, accountId)).toEqual({ payouts: 0, refunds: milestones.length });
  expect(await findDisagreements(world.db, world.rails)).toEqual([]);
}

test.for(worlds)(
  `a contract of ${MILESTONES} funded milestones ends over the rails of $name while its person looks on: each refunded once`,
  { timeout: WITHIN },
  async (world) => {
    const { app, deps } = world;
    const escrow = await createEscrow(app, deps, { count: MILESTONES });
    const story = await askEnd(app, escrow);
    const confirming = confirmNow(deps, story);
    // The page is there all the while, and the sweeps go on beside the request.
    const sweeping = sweepDuePayments(deps, createLogger("silent"));
    await Promise.all([confirming, sweeping]);
    const status = async () => (await readApproval(app, escrow, story)).status === "confirmed";
    await waitUntil(
      async () => {
        await sweepDuePayments(deps, createLogger("silent"));
        return status();
      },
      "the contract has ended",
      WITHIN,
    );
    await expectEnded(world, escrow, await readApproval(app, escrow, story));
  },
);

test.for(worlds)(
  `a contract of ${MILESTONES} funded milestones whose process is killed as it ends is ended by the next one, over $name`,
  { timeout: WITHIN },
  async (world) => {
    const { app, deps, db, rails, url } = world;
    const escrow = await createEscrow(app, deps, { count: MILESTONES });
    const story = await askEnd(app, escrow);
    await actUntilDeath(url, rails, escrow.human.email, DIES_AT, [story], (browser, { path }) =>
      decideAt(browser, path, "confirm"),
    );
    expect(await readApproval(app, escrow, story)).toMatchObject({ status: "pending" });
    await makeDue(db, escrow.accountId);
    const next = await startProcess("start", url, { ...rails.env, ...KILLED_ENV }, KILLED_MAIN);
    // The machine may be busy, so that signing in takes some tries.
    let browser: Browser | undefined;
    const ended = async () => {
      browser ??= await signInAt(`http://127.0.0.1:${next.port}`, escrow.human.email);
      return (await browser.open(story.path)).text.includes("The contract has ended.");
    };
    await waitUntil(ended, "its page says that the contract has ended", WITHIN);
    await next.stop();
    await expectEnded(world, escrow, await readApproval(app, escrow, story));
  },
);
