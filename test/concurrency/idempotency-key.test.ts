import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { accountKey } from "../../src/lib/ids.ts";
import { cloneDatabase } from "../support/clones.ts";
import { type Answer, call, createFixture, type Fixture } from "../support/fixtures.ts";
import { countWaiting, type HeldLock, holdLock } from "../support/locks.ts";
import { count } from "../support/long.ts";
import { type ServiceProcess, startProcess, waitUntil } from "../support/process.ts";
import { PUBLIC_URL, startService, type TestService } from "../support/service.ts";

const AT_ONCE = 50;
const ROUNDS = count(2, 10);

const url = await cloneDatabase();
const [one, other] = [await startService({}, url), await startService({}, url)];
const { app, connection, db } = one;

const request = ({ token }: Fixture, key = "k-1") => ({
  token,
  body: { description: "More", amountUsd: 1 },
  headers: { "idempotency-key": key },
});
const pathOf = ({ contract }: Fixture) => `/api/public/v1/contracts/${contract}/milestones`;
const create = (service: TestService, fixture: Fixture): Promise<Answer> =>
  call(service.app, "POST", pathOf(fixture), request(fixture));

/** What there is of the account's second milestone: rows, events and answers that are kept. */
async function readEffects({ account, milestone }: Fixture) {
  const accountId = accountKey(account);
  const { rows } = await sql<{ milestones: number; events: number; answers: number }>`
    select
      (select count(*) from milestones where account_id = ${accountId} and id <> ${milestone}) as milestones,
      (select count(*) from events where account_id = ${accountId} and type = 'milestone.status_changed'
        and resource_id <> ${milestone}) as events,
      (select count(*) from idempotency_keys where account_id = ${accountId} and answer is not null) as answers`.execute(
    db,
  );
  return rows[0];
}

async function ageBy({ account }: Fixture, seconds: number): Promise<void> {
  await sql`
    update idempotency_keys set claimed_at = claimed_at - make_interval(secs => ${seconds})
    where account_id = ${accountKey(account)}`.execute(db);
}

const holdContract = ({ account, contract }: Fixture): Promise<HeldLock> =>
  holdLock(
    connection,
    `select from contracts where account_id = '${accountKey(account)}' and id = '${contract}' for update`,
  );
const holdHead = ({ account }: Fixture): Promise<HeldLock> =>
  holdLock(
    connection,
    `select from account_heads where account_id = '${accountKey(account)}' for no key update`,
  );

describe("one Idempotency-Key", () => {
  test(`sent ${AT_ONCE} times at once to two processes makes one milestone, event and answer`, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const fixture = await createFixture(app);
      const answers = await Promise.all(
        Array.from({ length: AT_ONCE }, (_, i) => create(i % 2 === 0 ? one : other, fixture)),
      );
      const made = answers.filter(({ status }) => status === 201);
      const first = made.filter(({ headers }) => headers["idempotent-replayed"] === undefined);
      expect(first).toHaveLength(1);
      expect(new Set(made.map(({ text }) => text)).size).toBe(1);
      for (const { status, body } of answers) {
        if (status !== 201) expect([status, body.details]).toEqual([409, { reason: "request_in_progress" }]);
      }
      expect(await readEffects(fixture)).toEqual({ milestones: 1, events: 1, answers: 1 });
      expect((await create(other, fixture)).text).toBe(first[0]?.text);
    }
  });

  test("taken over from an attempt that is alive after all makes one milestone: that attempt undoes itself", async () => {
    const fixture = await createFixture(app);
    await using held = await holdContract(fixture);
    const slow = create(one, fixture);
    await waitUntil(async () => (await countWaiting(db)) === 1, "the first waits for the contract");
    await ageBy(fixture, 60);
    const second = create(other, fixture);
    await waitUntil(async () => (await countWaiting(db)) === 2, "the second has taken over, and waits too");
    await held.letGo();
    const [lost, made] = await Promise.all([slow, second]);
    expect([lost.status, lost.body.details]).toEqual([409, { reason: "request_in_progress" }]);
    expect([made.status, made.headers["idempotent-replayed"]]).toEqual([201, undefined]);
    expect(await readEffects(fixture)).toEqual({ milestones: 1, events: 1, answers: 1 });
    expect((await create(one, fixture)).text).toBe(made.text);
  });
});

describe("a process that is killed with a key at work", () => {
  /** Kills a process while its request waits for what `hold` holds. */
  async function killAt(hold: (fixture: Fixture) => Promise<HeldLock>): Promise<Fixture> {
    const fixture = await createFixture(app);
    const doomed: ServiceProcess = await startProcess("serve", url, { PUBLIC_URL });
    await using held = await hold(fixture);
    const cutOff = expect(doomed.call("POST", pathOf(fixture), request(fixture))).rejects.toThrow();
    await waitUntil(async () => (await countWaiting(db)) === 1, "its request waits");
    await doomed.kill9();
    await cutOff;
    await held.letGo();
    await waitUntil(async () => (await countTransactions()) === 0, "Postgres has ended its transaction");
    return fixture;
  }

  async function countTransactions(): Promise<number> {
    const { rows } = await sql<{ count: number }>`
      select count(*) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null`.execute(db);
    return rows[0]?.count ?? 0;
  }

  test.each([
    ["before the effect", holdContract],
    ["when all is written and nothing committed", holdHead],
  ])("%s leaves nothing half, and a repeat does it once 60 s have passed", async (_when, hold) => {
    const fixture = await killAt(hold);
    expect(await readEffects(fixture)).toEqual({ milestones: 0, events: 0, answers: 0 });
    const early = await create(one, fixture);
    expect([early.status, early.body.details]).toEqual([409, { reason: "request_in_progress" }]);
    await ageBy(fixture, 60);
    const made = await create(one, fixture);
    expect([made.status, made.headers["idempotent-replayed"]]).toEqual([201, undefined]);
    expect((await create(other, fixture)).text).toBe(made.text);
    expect(await readEffects(fixture)).toEqual({ milestones: 1, events: 1, answers: 1 });
  });
});
