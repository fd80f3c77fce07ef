import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { advanceTopUp, openCheckout } from "../../src/billing/checkout-service.ts";
import { sweepDueTopUps } from "../../src/billing/top-up-jobs.ts";
import type { App } from "../../src/http/app.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { createHuman } from "../support/humans.ts";
import { LONG, some } from "../support/long.ts";
import { ownerOf } from "../support/owner.ts";
import { startProcess, waitUntil } from "../support/process.ts";
import { findDisagreements } from "../support/rails.ts";
import { PUBLIC_URL } from "../support/service.ts";
import { deciderOf } from "../support/stories.ts";
import {
  type AskedTopUp,
  createCreditAccount,
  payPage,
  press,
  readCredits,
  requestTopUp,
  rowOf,
} from "../support/top-ups.ts";
import { type Browser, fieldOf } from "../support/visitor.ts";
import { type Crossing, TOP_UPS } from "./crossings.ts";
import { actUntilDeath, KILLED_MAIN, recoverUntilDeath } from "./killing.ts";
import { openWorlds, type World } from "./outgoing.ts";

const worlds = await openWorlds();
const quiet = createLogger("silent");
type How = keyof typeof TOP_UPS;

/** So many top-ups of $250 of one account, and their person. */
async function createTopUps(app: App, count: number): Promise<AskedTopUp[]> {
  const fixture = await createCreditAccount(app);
  const { cookie, email } = await createHuman(app, fixture.account);
  const made: AskedTopUp[] = [];
  for (let i = 1; i <= count; i++) {
    const { body } = await requestTopUp(app, fixture);
    const id: string = body.topUpId;
    made.push({
      ...fixture,
      accountId: accountKey(fixture.account),
      id,
      cookie,
      email,
      path: `/top-ups/${id}`,
    });
  }
  return made;
}

async function credits(app: App, topUp: AskedTopUp): Promise<number> {
  return (await readCredits(app, topUp)).body.credits.availableCents;
}

async function openPage({ app, db }: World, topUp: AskedTopUp): Promise<string> {
  if ((await rowOf(db, topUp)).sessionId === null) await press(app, topUp, "checkout");
  return (await rowOf(db, topUp)).sessionId ?? "";
}

/** As if their time had passed: the database lets nobody change it who does not switch its triggers off. */
async function expire({ db }: World, { accountId, id }: AskedTopUp): Promise<void> {
  await ownerOf(db)
    .transaction()
    .execute(async (trx) => {
      await sql`set local session_replication_role = replica`.execute(trx);
      await sql`
        update top_ups set created_at = now() - interval '25 hours', expires_at = now() - interval '1 hour', due_at = now()
        where account_id = ${accountId} and id = ${id} and status = 'PENDING'`.execute(trx);
    });
}

async function sweep({ db, deps }: World): Promise<void> {
  await db
    .updateTable("top_ups")
    .set({ due_at: new Date(0) })
    .where("status", "=", "PENDING")
    .execute();
  await sweepDueTopUps(deps, quiet);
}

/** Brings a top-up to where `how` begins. */
async function arrange(world: World, how: How, topUp: AskedTopUp): Promise<void> {
  if (how === "opens") return;
  if (how === "opens again") {
    world.rails.stripe?.plan({ on: "POST /v1/checkout/sessions", does: "error", about: topUp.id });
    await press(world.app, topUp, "checkout");
    return;
  }
  const page = await openPage(world, topUp);
  if (how === "is paid") await payPage(world.db, world.rails.stripe, page);
  if (how === "loses its page") await world.deps.processor.checkout.end(page);
  if (how === "expires") await expire(world, topUp);
}

const cases = worlds.flatMap((world) =>
  (Object.keys(TOP_UPS) as How[])
    // The sandbox keeps no failures under its keys.
    .filter((how) => world.rails.stripe !== undefined || how !== "opens again")
    .map((how) => ({ world, name: world.name, how })),
);

describe("a top-up whose process dies", () => {
  test.for(cases)(
    "at any boundary, over the rails of $name, when it $how, is booked once if it is paid, and never stuck",
    { timeout: 120_000 },
    async ({ world, how }) => {
      const { app, db, deps, rails } = world;
      const crossings = [...new Set<Crossing>(TOP_UPS[how])];
      const topUps = await createTopUps(app, crossings.length);
      for (const [i, crossing] of crossings.entries()) {
        const topUp = topUps[i] as AskedTopUp;
        await arrange(world, how, topUp);
        const stands = Promise.withResolvers<void>();
        const boundaries = (boundary: string, moment: string) => {
          if (`${boundary}:${moment}` !== crossing) return undefined;
          stands.resolve();
          return new Promise<never>(() => {});
        };
        const work = how.startsWith("opens")
          ? openCheckout(
              { ...deps, boundaries },
              topUp,
              (await deciderOf(db, { ...topUp, approvalId: "" })).actor,
            )
          : advanceTopUp({ ...deps, boundaries }, topUp);
        await Promise.race([
          stands.promise,
          work.then(() => Promise.reject(new Error(`it did not come to ${crossing}`))),
        ]);
        // Somebody goes on, and pays on the page that there is by then.
        await sweep(world);
        const { status } = await rowOf(db, topUp);
        const ends = how === "is paid" ? "COMPLETED" : how === "expires" ? "EXPIRED" : "PENDING";
        expect(status, crossing).toBe(ends);
        if (ends === "PENDING") {
          await payPage(db, rails.stripe, await openPage(world, topUp));
          await sweep(world);
          expect((await rowOf(db, topUp)).status, crossing).toBe("COMPLETED");
        }
      }
      const paid = how === "expires" ? 0 : crossings.length;
      expect(await credits(app, topUps[0] as AskedTopUp)).toBe(25_000 * paid);
      expect(await findDisagreements(db, rails)).toEqual([]);
    },
  );

  const kills = some(worlds, 1).map((world) => ({ world, name: world.name }));
  test.for(kills)(
    "by SIGKILL, over the rails of $name, as its page is opened, read and ended, is booked once, or expires",
    { timeout: LONG ? 600_000 : 300_000 },
    async ({ world }) => {
      const { app, db, rails, url } = world;
      const opening = await createTopUps(app, TOP_UPS.opens.length);
      await actUntilDeath(url, rails, opening[0]?.email ?? "", TOP_UPS.opens, opening, pressAt("checkout"));
      const paid = await createTopUps(app, TOP_UPS["is paid"].length);
      for (const topUp of paid) await arrange(world, "is paid", topUp);
      await actUntilDeath(url, rails, paid[0]?.email ?? "", TOP_UPS["is paid"], paid, pressAt("look"));
      const ending = await createTopUps(app, TOP_UPS.expires.length);
      for (const topUp of ending) await arrange(world, "expires", topUp);
      await recoverUntilDeath(url, rails, TOP_UPS.expires);

      for (const topUp of opening) await payPage(db, rails.stripe, await openPage(world, topUp));
      await db
        .updateTable("top_ups")
        .set({ due_at: new Date(0) })
        .where("status", "=", "PENDING")
        .execute();
      await startProcess("start", url, { ...rails.env, PUBLIC_URL }, KILLED_MAIN);
      const ended = async () =>
        (await Promise.all([...opening, ...paid, ...ending].map((topUp) => rowOf(db, topUp)))).every(
          ({ status }) => status !== "PENDING",
        );
      await waitUntil(ended, "no top-up is pending");
      for (const [topUps, cents] of [
        [opening, 25_000],
        [paid, 25_000],
        [ending, 0],
      ] as const)
        expect(await credits(app, topUps[0] as AskedTopUp)).toBe(cents * topUps.length);
      expect(await findDisagreements(db, rails)).toEqual([]);
    },
  );
});

function pressAt(verb: "checkout" | "look") {
  return async (browser: Browser, { path }: AskedTopUp): Promise<void> => {
    const page = await browser.open(verb === "look" ? `${path}?returned` : path);
    await browser.submit(`${path}/${verb}`, { form_token: fieldOf(page, `${path}/${verb}`) });
  };
}
