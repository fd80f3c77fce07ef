import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { askRelease, readApproval, readMilestones, setPayoutAccount } from "../support/escrow.ts";
import { findDisagreements } from "../support/rails.ts";
import { readOutcome } from "../support/stories.ts";
import { crossedBy, FOUND, type How, OUTGOING, type OutgoingKind, RESENT } from "./crossings.ts";
import { inParallel } from "./killing.ts";
import {
  confirmNow,
  createOutgoing,
  holdAt,
  isPlayed,
  openWorlds,
  sentFor,
  settle,
  sweep,
  type World,
} from "./outgoing.ts";

const worlds = await openWorlds();
const KINDS: OutgoingKind[] = ["payout", "refund"];
const HOWS = Object.keys(OUTGOING) as How[];
const DAY_SECONDS = 24 * 60 * 60;

const cases = worlds.flatMap((world) =>
  KINDS.flatMap((kind) =>
    HOWS.filter((how) => isPlayed(world, kind, how)).map((how) => ({ world, name: world.name, kind, how })),
  ),
);

async function expectEnd(
  world: World,
  kind: OutgoingKind,
  how: How,
  { accountId, story }: Awaited<ReturnType<typeof createOutgoing>>,
): Promise<void> {
  const { db } = world;
  const { end } = OUTGOING[how];
  // What a bank takes back no more goes to the credits: the contract ends all the same.
  const toCredits = kind === "refund" && end === "refused";
  const { approval, payment } = await readOutcome(db, story);
  expect([approval, payment]).toEqual(
    end === "confirmed" ? ["confirmed", "succeeded"] : [toCredits ? "confirmed" : "pending", "refused"],
  );
  const sent = await sentFor(world, accountId);
  const moved = end === "confirmed" ? 1 : 0;
  expect(sent).toEqual(kind === "payout" ? { payouts: moved, refunds: 0 } : { payouts: 0, refunds: moved });
}

describe("a payout and a refund", () => {
  test.for(cases)(
    "cross what is tabled: a $kind over the rails of $name that $how",
    async ({ world, kind, how }) => {
      const outgoing = await createOutgoing(world, kind, how);
      const crossed: string[] = [];
      const boundaries = (boundary: string, moment: string) => void crossed.push(`${boundary}:${moment}`);
      await confirmNow({ ...world.deps, boundaries }, outgoing.story).catch(() => {});
      const late = world.name === "stripe" && kind === "refund" && how === "refused" ? "pending" : how;
      expect(crossed).toEqual(crossedBy(kind, late));
      await settle(world, outgoing.accountId, how);
      await expectEnd(world, kind, how, outgoing);
      expect(await findDisagreements(world.db, world.rails)).toEqual([]);
    },
  );
});

describe("whatever boundary a process dies at, the sweep ends what it began, once", () => {
  test.for(cases)(
    "a $kind over the rails of $name that $how",
    { timeout: 120_000 },
    async ({ world, kind, how }) => {
      const late = world.name === "stripe" && kind === "refund" && how === "refused" ? "pending" : how;
      // Before the first nothing was written, and nothing begins.
      const crossings = crossedBy(kind, late).slice(1);
      await inParallel(4, crossings, async (crossing) => {
        const outgoing = await createOutgoing(world, kind, how);
        await holdAt(world.deps, crossing, (deps) => confirmNow(deps, outgoing.story));
        await settle(world, outgoing.accountId, how);
        await expectEnd(world, kind, how, outgoing);
      });
      expect(await findDisagreements(world.db, world.rails)).toEqual([]);
    },
  );

  const again = worlds.flatMap((world) => KINDS.map((kind) => ({ world, name: world.name, kind })));
  test.for(again)(
    "and so when the one that goes on dies too: a $kind over the rails of $name",
    { timeout: 120_000 },
    async ({ world, kind }) => {
      for (const [died, recovery] of [
        ["write-submitted:after", RESENT],
        ["call-send:after", FOUND],
      ] as const) {
        for (const crossing of recovery) {
          const outgoing = await createOutgoing(world, kind, "pays");
          await holdAt(world.deps, died, (deps) => confirmNow(deps, outgoing.story));
          await holdAt(world.deps, crossing, (deps) => sweep(deps, outgoing.accountId));
          await settle(world, outgoing.accountId, "pays");
          await expectEnd(world, kind, "pays", outgoing);
        }
      }
      expect(await findDisagreements(world.db, world.rails)).toEqual([]);
    },
  );
});

describe("a processor's keys", () => {
  const onStripe = worlds
    .filter(({ name }) => name === "stripe")
    .flatMap((world) => KINDS.map((kind) => ({ world, kind })));

  test.for(onStripe)(
    "that have expired send no $kind twice: what was sent is found, what was not goes under the next",
    async ({ world, kind }) => {
      for (const died of ["write-submitted:after", "call-send:after"] as const) {
        const outgoing = await createOutgoing(world, kind, "pays");
        const { accountId } = outgoing;
        await holdAt(world.deps, died, (deps) => confirmNow(deps, outgoing.story));
        world.rails.stripe?.advance(DAY_SECONDS + 3_600);
        await sql`update payments set key_used_at = key_used_at - interval '25 hours' where account_id = ${accountId} and key_used_at is not null`.execute(
          world.db,
        );
        await settle(world, accountId, "pays");
        await expectEnd(world, kind, "pays", outgoing);
        const { key_number } = await world.db
          .selectFrom("payments")
          .where("account_id", "=", accountId)
          .where("kind", "=", kind)
          .select("key_number")
          .executeTakeFirstOrThrow();
        expect(key_number).toBe(died === "write-submitted:after" ? 1 : 0);
      }
    },
  );

  test.for(onStripe)(
    "that hold a failure are left behind: the $kind goes under the next",
    async ({ world, kind }) => {
      const outgoing = await createOutgoing(world, kind, "pays");
      world.rails.stripe?.plan({
        on: `POST /v1/${kind === "payout" ? "transfers" : "refunds"}`,
        does: "error",
        about: outgoing.accountId,
      });
      await confirmNow(world.deps, outgoing.story).catch(() => {});
      await settle(world, outgoing.accountId, "pays");
      await expectEnd(world, kind, "pays", outgoing);
    },
  );
});

test("a balance that does not hold enough is no refusal: the payout waits, and goes out later, once", async () => {
  const world = worlds.find(({ name }) => name === "sandbox") as World;
  const outgoing = await createOutgoing(world, "payout", "pays");
  await setPayoutAccount(world.app, outgoing.fixture, "acct_sandbox_no_balance");
  const story = await askRelease(world.app, outgoing);
  await confirmNow(world.deps, story);
  expect(await readOutcome(world.db, story)).toEqual({ approval: "pending", payment: "unknown" });
  expect(await readApproval(world.app, outgoing, story)).toMatchObject({ status: "pending" });
  await settle(world, outgoing.accountId, "pays");
  expect(await readMilestones(world.app, outgoing)).toEqual(["PAID"]);
  expect(await sentFor(world, outgoing.accountId)).toEqual({ payouts: 1, refunds: 0 });
});
