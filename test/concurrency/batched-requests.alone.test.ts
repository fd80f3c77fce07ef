import fc from "fast-check";
import { sql } from "kysely";
import pg from "pg";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import { createApp } from "../../src/app/app.ts";
import { createLogger } from "../../src/app/logger.ts";
import { insertFundingApproval, type NewApproval } from "../../src/approvals/funding-store.ts";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { connect } from "../../src/database/connection.ts";
import { accountKey, newId } from "../../src/lib/ids.ts";
import { expire, setMilestoneStatus } from "../http/rows.ts";
import { cloneDatabase, directUrl } from "../support/clones.ts";
import {
  type Answer,
  call,
  createFixture,
  createMilestone,
  type Fixture,
  fund,
  operate,
} from "../support/fixtures.ts";
import { holdLock } from "../support/locks.ts";
import { startProcess } from "../support/process.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";

vi.setConfig({ testTimeout: 120_000 });

const url = await cloneDatabase();
const service = await startService({}, url);
const { app, db } = service;
afterEach(() => vi.restoreAllMocks());

/** The same app on a pool of its own. */
async function startOn(pool: { size: number; statementTimeout: number; lockTimeout: number }) {
  const connection = connect(directUrl(url), { ...pool, onIdleError: () => {} });
  const processor = createSandbox(connection.db, PUBLIC_URL);
  const started = await createApp({
    ...service,
    db: connection.db,
    processor,
    logger: createLogger("silent"),
  });
  afterAll(async () => {
    await started.close();
    await connection.close();
  });
  return { app: started, db: connection.db };
}

// What waits for a lock there ends by its statement's time limit, which fails it for good.
const patient = await startOn({ size: 10, statementTimeout: 20_000, lockTimeout: 60_000 });
const single = await startOn({ size: 1, statementTimeout: 5_000, lockTimeout: 3_000 });

/** How many requests stood in each batch that pg sends from now on. */
function watchBatches(): number[] {
  const sizes: number[] = [];
  const query = pg.Client.prototype.query as (...args: unknown[]) => unknown;
  vi.spyOn(pg.Client.prototype, "query").mockImplementation(function (this: pg.Client, ...args: unknown[]) {
    const [{ text = "", values = [] }] = args as [{ text?: string; values?: unknown[][] }];
    if (text.includes("with ordinality as r")) sizes.push(values[0]?.length ?? 0);
    return query.apply(this, args) as never;
  });
  return sizes;
}

const fixtures = (count: number, options = {}) =>
  Promise.all(Array.from({ length: count }, () => createFixture(app, options)));

/** What an approval's row says, but for what differs between any two. */
async function readRow({ account }: Fixture, milestone: string) {
  const { rows } = await sql<{ row: string }>`
    select (to_jsonb(v) - 'id' - 'created_at' - 'expires_at' - 'notify_at' - 'terms_digest')::text as row
    from approvals v where account_id = ${accountKey(account)} and milestone_id = ${milestone}`.execute(db);
  return rows.map(({ row }) => row.replaceAll(milestone, "the milestone"));
}

describe("requests that meet", () => {
  test("new requests of many accounts record what each would record alone, and answer it", async () => {
    const all = await fixtures(30);
    for (const fixture of all) await createMilestone(app, fixture, `${fixture.milestone}-2`);
    const alone: Answer[] = [];
    for (const { token, milestone } of all) alone.push(await fund(app, token, milestone));
    const sizes = watchBatches();
    const together = await Promise.all(all.map(({ token, milestone }) => fund(app, token, `${milestone}-2`)));
    expect(Math.max(...sizes)).toBeGreaterThan(1);

    for (const [i, fixture] of all.entries()) {
      const second = `${fixture.milestone}-2`;
      const { id, createdAt, expiresAt, approvalUrl, ...approval } = together[i]?.body.approval ?? {};
      expect(together[i]?.status).toBe(202);
      expect(approvalUrl).toBe(`${PUBLIC_URL}/approvals/${id}`);
      expect(Date.parse(expiresAt) - Date.parse(createdAt)).toBe(72 * 3_600_000);
      expect({ ...alone[i]?.body.approval, ...approval }).toEqual({
        ...alone[i]?.body.approval,
        milestoneId: second,
      });
      expect(await readRow(fixture, second)).toEqual(await readRow(fixture, fixture.milestone));
    }
  });

  test("repeats, reads and refusals of many accounts answer byte for byte what they answer one by one", async () => {
    const all = await fixtures(12);
    const [pending, ended, cancelled, funded, cardless, expired] = all as [Fixture, ...Fixture[]] & Fixture[];
    const unclaimed = await createFixture(app, { claimed: false });
    const reader = await createFixture(app, { scopes: ["payments:read"] });
    const requests: (() => Promise<Answer>)[] = [];
    const headers = { "x-request-id": "one-of-many" };
    const ask = (method: "GET" | "POST", path: string, token: string) =>
      requests.push(() => call(app, method, path, { token, headers }));
    for (const fixture of all) {
      const { body } = await fund(app, fixture.token, fixture.milestone);
      ask("GET", `/approvals/${body.approval.id}`, fixture.token);
      ask("GET", `/approvals/${body.approval.id}`, pending.token);
      ask("GET", "/updates", fixture.token);
    }
    await operate(app, "PUT", `/accounts/${ended?.account}/contracts/${ended?.contract}`, {
      status: "ended",
    });
    await operate(app, "POST", `/accounts/${cancelled?.account}/milestones/${cancelled?.milestone}/cancel`);
    if (funded !== undefined) await setMilestoneStatus(db, funded, "PAID");
    const { paymentMethods } = await operate(app, "GET", `/accounts/${cardless?.account}/payment-methods`);
    await operate(app, "DELETE", `/accounts/${cardless?.account}/payment-methods/${paymentMethods[0].id}`);
    for (const { token, milestone } of [...all, unclaimed, reader]) {
      if (milestone === expired?.milestone) continue;
      ask("POST", `/milestones/${milestone}/fund`, token);
      ask("POST", `/milestones/${pending.milestone}/fund`, token);
    }
    ask(
      "POST",
      `/milestones/${pending.milestone}/fund`,
      `${pending.token.slice(0, -23)}A${pending.token.slice(-22)}`,
    );
    ask("POST", "/milestones/no%20id/fund", pending.token);
    ask("GET", "/approvals/no-id", pending.token);

    const essence = ({ status, text }: Answer) => `${status} ${text}`;
    const expected: string[] = [];
    for (const request of requests) expected.push(essence(await request()));
    expect(new Set(expected).size).toBeGreaterThan(30);
    const sizes = watchBatches();
    await fc.assert(
      fc.asyncProperty(fc.shuffledSubarray([...requests.keys()], { minLength: 2 }), async (chosen) => {
        const answers = await Promise.all(chosen.map(async (i) => requests[i]?.()));
        expect(answers.map((answer) => answer && essence(answer))).toEqual(chosen.map((i) => expected[i]));
      }),
      { numRuns: 30 },
    );
    expect(Math.max(...sizes)).toBeGreaterThan(5);
  });

  test("a locked contract keeps no other account's request waiting", async () => {
    const [held, ...others] = (await fixtures(20)) as [Fixture, ...Fixture[]];
    const sizes = watchBatches();
    await using lock = await holdLock(
      service.connection,
      `select from contracts where id = '${held.contract}' for no key update`,
    );
    let answered = false;
    const waiting = fund(patient.app, held.token, held.milestone).finally(() => (answered = true));
    const answers = await Promise.all(
      others.map(({ token, milestone }) => fund(patient.app, token, milestone)),
    );
    expect(answers.map(({ status }) => status)).toEqual(others.map(() => 202));
    expect(answered).toBe(false);
    await lock.letGo();
    expect((await waiting).status).toBe(202);
    expect(Math.max(...sizes)).toBeGreaterThan(1);
  });

  test("an insert that the database refuses fails alone, and its neighbours are recorded", async () => {
    const all = await fixtures(6);
    const sizes = watchBatches();
    const results = await Promise.allSettled(
      all.map(async (fixture, i) => {
        const approval = await composeApproval(fixture);
        const coSign = i === 2 ? ("nonsense" as "session") : approval.coSign;
        return insertFundingApproval(db, accountKey(fixture.account), { ...approval, coSign });
      }),
    );
    expect(results.map(({ status }) => status)).toEqual(
      all.map((_, i) => (i === 2 ? "rejected" : "fulfilled")),
    );
    for (const [i, fixture] of all.entries())
      expect(await readRow(fixture, fixture.milestone)).toHaveLength(i === 2 ? 0 : 1);
    expect(Math.max(...sizes)).toBeGreaterThan(1);
  });

  test("an approval that has expired is replaced, also when its request comes with others", async () => {
    const all = await fixtures(6);
    const first = await Promise.all(all.map(({ token, milestone }) => fund(app, token, milestone)));
    for (const [i, fixture] of all.entries()) await expire(db, fixture, first[i]?.body.approval.id);
    const again = await Promise.all(all.map(({ token, milestone }) => fund(app, token, milestone)));
    expect(again.map(({ status }) => status)).toEqual(all.map(() => 202));
    const ids = new Set([...first, ...again].map(({ body }) => body.approval.id));
    expect(ids.size).toBe(12);
  });
});

/** So many more milestones of the fixture's contract. */
async function addMilestones({ account, milestone }: Fixture, count: number): Promise<string[]> {
  const milestones = Array.from({ length: count }, (_, i) => `${milestone}-${i}`);
  await sql`
    insert into milestones (account_id, id, contract_id, number, description, amount_cents, created_at, updated_at)
    select m.account_id, n.id, m.contract_id, n.position + 1, m.description, m.amount_cents, m.created_at, m.updated_at
    from milestones m, unnest(${milestones}::text[]) with ordinality as n (id, position)
    where m.account_id = ${accountKey(account)}`.execute(db);
  return milestones;
}

/** What the service would record for the milestone. */
async function composeApproval({ account, contract, milestone }: Fixture): Promise<NewApproval> {
  const token = await db
    .selectFrom("tokens")
    .where("account_id", "=", accountKey(account))
    .select(["id", "name", "preview"])
    .executeTakeFirstOrThrow();
  const createdAt = new Date();
  return {
    id: newId(),
    terms: {
      amountCents: 45_000,
      currency: "USD",
      milestoneId: milestone,
      description: "Label 5,000 street scenes",
      contractId: contract,
      jobId: "job-1",
      payee: { userId: "u", displayName: "Maria G.", payoutAccount: null },
    },
    termsDigest: Buffer.alloc(32),
    coSign: "session",
    secondSignerFromCents: null,
    token: { ...token, rootId: token.id },
    asker: { kind: "operator", name: null, namedItself: false },
    createdAt,
    expiresAt: new Date(createdAt.getTime() + 60_000),
    milestoneRevision: 1,
    contractRevision: 1,
    waitingBelow: 50,
    ofRootBelow: 40,
  };
}

test("requests of one account never share an insert, so that each counts the ones before", async () => {
  const fixture = await createFixture(app);
  const composed = await composeApproval(fixture);
  const approvals = (await addMilestones(fixture, 30)).map((milestoneId) => ({
    ...composed,
    id: newId(),
    terms: { ...composed.terms, milestoneId },
    token: { ...composed.token, rootId: newId() },
    waitingBelow: 5,
  }));
  const accountId = accountKey(fixture.account);
  const results = await Promise.all(
    approvals.map((approval) => insertFundingApproval(db, accountId, approval)),
  );
  // Those that saw four, one on each of the pool's ten connections, may all have been recorded.
  expect(results.filter((recorded) => recorded).length).toBeLessThanOrEqual(14);
  expect(results.filter((recorded) => recorded).length).toBeGreaterThanOrEqual(5);
});

test("24 keys of one account that ask three processes at once get exactly 100 approvals", async () => {
  const processes = await Promise.all(
    Array.from({ length: 3 }, () => startProcess("serve", url, { PUBLIC_URL })),
  );
  const fixture = await createFixture(app);
  const body = { name: "One of many", scopes: ["payments:write"] };
  const keys: string[] = [];
  for (let key = 0; key < 24; key++)
    keys.push((await operate(app, "POST", `/accounts/${fixture.account}/tokens`, body)).token);
  const milestones = await addMilestones(fixture, 150);
  // Requests of other accounts make the lanes busy, so that these meet.
  const others = await fixtures(10);
  const busy = others.flatMap(({ token, milestone }) =>
    processes.map((process) => process.call("POST", `/milestones/${milestone}/fund`, { token })),
  );
  const answers = await Promise.all(
    milestones.map((milestone, i) => {
      const process = processes[i % processes.length];
      const token = keys[i % keys.length];
      if (process === undefined || token === undefined) throw new TypeError("there are some");
      return process.call("POST", `/milestones/${milestone}/fund`, { token });
    }),
  );
  expect(new Set((await Promise.all(busy)).map(({ status }) => status))).toEqual(new Set([202]));
  expect(answers.filter(({ status }) => status === 202)).toHaveLength(100);
  expect(answers.filter(({ status }) => status === 429)).toHaveLength(50);
  const { count } = await db
    .selectFrom("approvals")
    .where("account_id", "=", accountKey(fixture.account))
    .select(({ fn }) => fn.countAll<number>().as("count"))
    .executeTakeFirstOrThrow();
  expect(count).toBe(100);
});

test("batches of any size are one prepared statement, and Postgres keeps its plan", async () => {
  const all = await fixtures(5);
  for (let round = 0; round < 10; round++) {
    const size = 2 + (round % 4);
    const some = all.slice(0, size);
    const answers = await Promise.all(some.map(({ token, milestone }) => fund(single.app, token, milestone)));
    expect(answers.map(({ status }) => status)).toEqual(some.map(() => 202));
  }
  const { rows } = await sql<{ custom: number; generic: number }>`
    select custom_plans as custom, generic_plans as generic from pg_prepared_statements
    where statement like '%with ordinality as r%' and statement like '%"milestoneStatus"%'`.execute(
    single.db,
  );
  expect(rows).toEqual([{ custom: 5, generic: 5 }]);
});
