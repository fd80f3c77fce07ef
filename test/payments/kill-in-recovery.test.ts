import { sql } from "kysely";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { sweepDuePayments } from "../../src/approvals/jobs.ts";
import type { Config } from "../../src/config/config.ts";
import { type Connection, connect, type Db } from "../../src/database/connection.ts";
import { RUNNING_ROLE } from "../../src/database/grants.ts";
import type { App } from "../../src/http/app.ts";
import { cloneDatabase, createDatabase, databaseUrl, newName } from "../support/clones.ts";
import { some } from "../support/long.ts";
import { ownerOf } from "../support/owner.ts";
import { findDisagreements, openRails, type Rails } from "../support/rails.ts";
import { asRole } from "../support/roles.ts";
import { startService } from "../support/service.ts";
import { confirmNow, createStories, readOutcome, type Story } from "../support/stories.ts";
import { RECOVERIES, type Recovery } from "./crossings.ts";
import { countInDoubt, inParallel, recoverUntilDeath } from "./killing.ts";

const quiet = createLogger("silent");
const TURNS = 10;
const TRIED = some(RECOVERIES, 1);

type World = { name: string; rails: Rails; base: string; app: App; db: Db; config: Config };

const worlds: World[] = await Promise.all(
  some(await openRails(), 1).map(async (rails) => {
    const base = await cloneDatabase();
    return { ...(await startService({}, base, rails)), name: rails.name, rails, base };
  }),
);

/** What died, by what is to recover it. */
const dead = new Map<World, Map<Recovery, Story[]>>(worlds.map((world) => [world, new Map()]));

/** What a death leaves in the database is what a hold for ever leaves there. */
async function holdAll(world: World, { card, died, crosses }: Recovery): Promise<Story[]> {
  const { app, db, config, rails } = world;
  const { stories } = await createStories(app, rails.cards[card], crosses.length);
  let held = 0;
  const all = Promise.withResolvers<void>();
  const deps = {
    db,
    config,
    processor: rails.open(db),
    boundaries: (boundary: string, moment: string) => {
      if (`${boundary}:${moment}` !== died) return undefined;
      held += 1;
      if (held === stories.length) all.resolve();
      return new Promise<never>(() => {});
    },
  };
  for (const story of stories) void confirmNow(deps, story).catch(all.reject);
  await all.promise;
  return stories;
}

beforeAll(async () => {
  for (const world of worlds) {
    await inParallel(2, TRIED, async (recovery) => {
      const stories = await holdAll(world, recovery);
      if (recovery.end === "expired") for (const story of stories) await expire(world.db, story);
      dead.get(world)?.set(recovery, stories);
    });
    // The copied database must have no connections.
    const name = new URL(world.base).pathname.slice(1);
    await query(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`);
  }
}, 120_000);

async function query(text: string): Promise<void> {
  const client = new pg.Client({ connectionString: inject("adminUrl") });
  await client.connect();
  await client.query(text);
  await client.end();
}

/** Puts the end of an approval into the past, which the database refuses unless its trigger is off. */
async function expire(db: Db, { accountId, approvalId }: Story): Promise<void> {
  await ownerOf(db)
    .transaction()
    .execute(async (trx) => {
      await sql`set local session_replication_role = replica`.execute(trx);
      await sql`
      update approvals set created_at = now() - interval '73 hours', expires_at = now() - interval '1 hour'
      where account_id = ${accountId} and id = ${approvalId}`.execute(trx);
    });
}

const connections: Connection[] = [];
afterAll(async () => {
  for (const connection of connections) await connection.close();
});

/** A copy of that moment, for one more death. */
async function copyBase({ base, rails }: World): Promise<{ url: string; db: Db; rails: Rails }> {
  const adminUrl = inject("adminUrl");
  const name = newName();
  await createDatabase([adminUrl], name, new URL(base).pathname.slice(1));
  const url = asRole(databaseUrl(adminUrl, name), RUNNING_ROLE);
  const options = { size: 3, statementTimeout: 5_000, lockTimeout: 3_000, onIdleError: () => {} };
  const connection = connect(url, options);
  connections.push(connection);
  return { url, db: connection.db, rails: await rails.copy() };
}

/** As if the leases' 40 seconds were over for these attempts, and not for a day for all others. */
async function makeDue(copy: Db, accountId: string): Promise<void> {
  await sql`
    update payments set leased_until = at, due_at = at
    from (select account_id as of, id as one, case when account_id = ${accountId} then now()
      else now() + interval '1 day' end as at from payments) moved
    where account_id = of and id = one and status not in ('succeeded', 'refused')`.execute(copy);
}

async function settleAll(config: Config, rails: Rails, copy: Db, accountId: string): Promise<void> {
  const deps = { db: copy, config, processor: rails.open(copy) };
  for (let turn = 1; turn <= TURNS; turn++) {
    await makeDue(copy, accountId);
    await sweepDuePayments(deps, quiet);
    if ((await countInDoubt(copy, accountId)) === 0) return;
  }
  expect.unreachable("a payment is still in doubt");
}

const ENDS = {
  confirmed: { approval: "confirmed", payment: "succeeded" },
  refused: { approval: "pending", payment: "refused" },
  action_required: { approval: "pending", payment: "action_required" },
  expired: { approval: "expired", payment: "refused" },
};

describe("when the process that recovers dies too, at any boundary that it crosses, the next one settles everything", () => {
  const cases = worlds.flatMap((world) => TRIED.map((recovery) => ({ world, recovery, ...recovery })));
  const name = "$card over the rails of $world.name, left at $died";
  test.concurrent.for(cases)(name, { timeout: 120_000 }, async ({ world, recovery }) => {
    const stories = dead.get(world)?.get(recovery) ?? [];
    const accountId = stories[0]?.accountId ?? "";
    const { url, db: copy, rails } = await copyBase(world);
    await makeDue(copy, accountId);
    await recoverUntilDeath(url, rails, recovery.crosses);
    await settleAll(world.config, rails, copy, accountId);
    for (const story of stories) expect(await readOutcome(copy, story)).toEqual(ENDS[recovery.end]);
    expect(await findDisagreements(copy, rails)).toEqual([]);
  });
});
