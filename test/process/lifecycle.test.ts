import { once } from "node:events";
import { createServer } from "node:net";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { accountKey } from "../../src/lib/ids.ts";
import { createWorld, insertExpired } from "../concurrency/world.ts";
import { cloneDatabase, emptyDatabase } from "../support/clones.ts";
import { createFixture } from "../support/fixtures.ts";
import { longTest } from "../support/long.ts";
import { freePort, launch, runProgram, startProcess, waitUntil } from "../support/process.ts";
import { OPERATOR_KEY, serviceEnvironment, startService } from "../support/service.ts";
import { startProxy } from "./proxy.ts";

// Seconds on an idle machine; others may share this one.
vi.setConfig({ testTimeout: 120_000 });

const url = await cloneDatabase();
const { app, db, connection } = await startService({}, url);

/** How many connections of the service there are to the database, this test's own aside. */
async function countConnections(): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*) as count from pg_stat_activity
    where datname = current_database() and application_name = 'countersign'`.execute(db);
  return (rows[0]?.count ?? 0) - connection.pool.totalCount;
}

/** Holds a contract's row until it is released, so that a fund request under it waits; or until the test ends. */
async function holdContract(id: string): Promise<() => Promise<void>> {
  const trx = await db.startTransaction().execute();
  const letGo = async () => {
    if (!trx.isRolledBack) await trx.rollback().execute();
  };
  onTestFinished(letGo);
  await trx.updateTable("contracts").set({ title: "Held" }).where("id", "=", id).execute();
  return letGo;
}

async function waitsForLock(): Promise<boolean> {
  const { rows } = await sql`
    select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`.execute(
    db,
  );
  return rows.length > 0;
}

describe("SIGTERM", () => {
  for (const command of ["serve", "start"] as const) {
    test(`${command} stops listening, finishes what runs, leaves nothing behind and exits with 0`, async () => {
      const { token, contract, milestone } = await createFixture(app);
      const service = await startProcess(command, url);
      const letGo = await holdContract(contract);
      const running = service.call("POST", `/milestones/${milestone}/fund`, { token });
      await waitUntil(waitsForLock, "the request waits");
      const ended = service.stop();
      await waitUntil(async () => {
        await expect(fetch(`http://127.0.0.1:${service.port}/livez`)).rejects.toThrow();
        return true;
      }, "it listens no more");
      await letGo();

      expect((await running).status).toBe(202);
      expect(await ended).toMatchObject({ code: 0, signal: null, stderr: "" });
      await waitUntil(async () => (await countConnections()) === 0, "its connections are gone");
    });
  }
});

test("SIGTERM answers waiting requests for events at once, with an empty page", async () => {
  const { token, account } = await createFixture(app);
  const service = await startProcess("serve", url);
  const held = service.call("GET", "/updates?cursor=2&wait=30", { token });
  const seen = async () => {
    const { rows } = await sql<{ seen: boolean }>`
      select last_used_at is not null as seen from tokens where account_id = ${accountKey(account)}`.execute(
      db,
    );
    return rows[0]?.seen === true;
  };
  await waitUntil(seen, "the request has come in");
  const ended = service.stop();
  const { status, body } = await held;
  expect([status, body]).toEqual([200, { events: [], nextCursor: "2", hasMore: false }]);
  expect(await ended).toMatchObject({ code: 0, signal: null, stderr: "" });
});

describe("a database that goes away", () => {
  let proxy: Awaited<ReturnType<typeof startProxy>>;
  let service: Awaited<ReturnType<typeof startProcess>>;
  let fixture: Awaited<ReturnType<typeof createFixture>>;
  // Only now: the tests before count the connections of their own process.
  beforeAll(async () => {
    proxy = await startProxy(url);
    fixture = await createFixture(app);
    service = await startProcess("serve", proxy.url);
  });
  afterEach(() => proxy.restore());
  afterAll(async () => {
    await service.kill9();
    await proxy.cut();
  });
  const fund = () => service.call("POST", `/milestones/${fixture.milestone}/fund`, { token: fixture.token });
  const answersAgain = () =>
    waitUntil(async () => (await service.call("GET", "/readyz")).status === 200, "it is ready again");

  async function expectUnavailable(
    answer: Promise<{ status: number; body: any; headers: any }>,
  ): Promise<void> {
    const { status, body, headers } = await answer;
    expect({ status, body }).toEqual({
      status: 503,
      body: {
        error: expect.any(String),
        code: "UNAVAILABLE",
        requestId: expect.any(String),
        details: { retryAfterSeconds: expect.any(Number) },
      },
    });
    expect(headers["retry-after"]).toBe(String(body.details.retryAfterSeconds));
  }

  test("is told as 503 with Retry-After by calls and readiness, while the process lives; and then it is back", async () => {
    const before = await fund();
    expect(before.status).toBe(202);
    await proxy.cut();
    for (const answer of await Promise.all([
      ...Array.from({ length: 15 }, fund),
      service.call("PUT", `/api/operator/v1/accounts/${fixture.account}`, {
        token: OPERATOR_KEY,
        body: { name: "Acme" },
      }),
      service.call("GET", "/updates", { token: fixture.token }),
      service.call("GET", "/readyz"),
    ])) {
      await expectUnavailable(Promise.resolve(answer));
    }
    expect((await service.call("GET", "/livez")).status).toBe(200);

    await proxy.restore();
    await answersAgain();
    expect((await fund()).text).toBe(before.text);
  });

  test("in the middle of a transaction is a 503 too, and not a 500", async () => {
    const other = await createFixture(app);
    const letGo = await holdContract(other.contract);
    const change = service.call(
      "PUT",
      `/api/operator/v1/accounts/${other.account}/contracts/${other.contract}`,
      {
        token: OPERATOR_KEY,
        body: { title: "Changed" },
      },
    );
    await waitUntil(waitsForLock, "the change waits");
    await proxy.cut();
    await expectUnavailable(change);
    await letGo();
    await proxy.restore();
    await answersAgain();
  });

  longTest(
    "without a word, as when its machine has vanished, is a 503 within seconds; and then it is back",
    async () => {
      expect((await fund()).status).toBe(202);
      proxy.block();
      const answers = Promise.all([fund(), fund(), service.call("GET", "/readyz")]);
      const late = new Promise<never>((_, reject) => {
        setTimeout(() => reject(new Error("no answer within 9 s")), 9_000).unref();
      });
      for (const answer of await Promise.race([answers, late]))
        await expectUnavailable(Promise.resolve(answer));
      expect((await service.call("GET", "/livez")).status).toBe(200);

      await proxy.restore();
      await answersAgain();
      expect((await fund()).status).toBe(202);
    },
  );
});

describe("a start that cannot succeed ends with exit code 1 and", () => {
  const lines = (text: string) => text.trimEnd().split("\n");

  longTest("one line, when the schema is behind", async () => {
    const ended = await runProgram(["serve"], serviceEnvironment(await emptyDatabase()));
    expect(ended).toMatchObject({ code: 1, signal: null, stdout: "" });
    expect(lines(ended.stderr)).toEqual([expect.stringMatching(/^The database is behind .*npm run migrate/)]);
  });

  longTest("one line, when the port is taken", async () => {
    const server = createServer().listen(await freePort(), "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const ended = await runProgram(["serve"], { ...serviceEnvironment(url), PORT: String(port) });
    server.close();
    expect(ended).toMatchObject({ code: 1, signal: null, stdout: "" });
    expect(lines(ended.stderr)).toEqual([expect.stringMatching(new RegExp(`^Port ${port} .*taken.*PORT`))]);
  });

  test("one line that lists the commands, when there is no such command", async () => {
    const ended = await runProgram(["server"], serviceEnvironment(url));
    expect(ended).toMatchObject({ code: 1, signal: null, stdout: "" });
    expect(lines(ended.stderr)).toEqual([expect.stringMatching(/server.*start, serve, work, migrate/)]);
  });

  test("a line for every fault of the configuration, all at once, and no secret among them", async () => {
    const secrets = {
      DATABASE_URL: "mysql://user:pa55word-one@db.example.com/pay",
      DATABASE_DIRECT_URL: "mysql://user:pa55word-one@db.example.com/pay",
      PUBLIC_URL: "http://user:pa55word-two@pay.example.com/path",
      OPERATOR_API_KEY: "pa55word-three",
      SESSION_SECRET: "pa55word-four",
      SECRETS_KEY: "pa55word-five",
      RECEIPT_SIGNING_KEY: "pa55word-six",
      STRIPE_SECRET_KEY: "pa55word-seven",
      STRIPE_PUBLISHABLE_KEY: "pk_pa55word-eight",
      STRIPE_WEBHOOK_SECRET: "pa55word-nine",
    };
    const others = {
      PORT: "http",
      MIGRATE_ON_START: "perhaps",
      DEFAULT_FEATURES: "public_api_credits,Not a key",
      APPROVAL_TTL_SECONDS: "0",
      EVENT_RETENTION_DAYS: "0",
      RATE_LIMIT_PER_MINUTE: "-1",
      LOG_LEVEL: "loud",
      TRUST_PROXY: "all",
    };
    const ended = await runProgram(["serve"], { ...secrets, ...others });
    expect(ended).toMatchObject({ code: 1, signal: null, stdout: "" });
    expect(ended.stderr).not.toContain("pa55word");
    const names = [...Object.keys(secrets), ...Object.keys(others)];
    expect(
      lines(ended.stderr)
        .map((line) => line.split(" ", 1)[0])
        .sort(),
    ).toEqual(names.sort());
  });

  longTest("one line that names the direct address, when that one does not answer", async () => {
    const nowhere = `postgres://user:pa55word@127.0.0.1:${await freePort()}/pay`;
    const ended = await runProgram(["work"], { ...serviceEnvironment(url), DATABASE_DIRECT_URL: nowhere });
    expect(ended).toMatchObject({ code: 1, signal: null, stdout: "" });
    expect(lines(ended.stderr)).toEqual([expect.stringMatching(/ECONNREFUSED.*Check DATABASE_DIRECT_URL/)]);
    expect(ended.stderr).not.toContain("pa55word");
  });

  longTest("a line for every missing secret and address, when a database is given", async () => {
    const ended = await runProgram(["serve"], { DATABASE_URL: url });
    expect(ended.code).toBe(1);
    expect(lines(ended.stderr)).toEqual(
      ["PUBLIC_URL", "SESSION_SECRET", "SECRETS_KEY", "RECEIPT_SIGNING_KEY"].map((name) =>
        expect.stringMatching(new RegExp(`^${name} is missing: `)),
      ),
    );
  });
});

test("work flips an expired approval by itself, with its event, and stops at SIGTERM with exit code 0", async () => {
  const world = await createWorld(db, { milestones: 1 });
  const [id = ""] = await insertExpired(db, world);
  const worker = launch(["work"], serviceEnvironment(url));
  const read = () =>
    db.selectFrom("approvals").where("account_id", "=", world.accountId).select(["id", "status"]).execute();
  await waitUntil(async () => (await read())[0]?.status === "expired", "it is flipped");

  expect(await read()).toEqual([{ id, status: "expired" }]);
  const events = await db
    .selectFrom("events")
    .where("account_id", "=", world.accountId)
    .select("data")
    .execute();
  expect(events).toEqual([{ data: { approvalId: id, status: "expired" } }]);
  expect(await worker.stop()).toMatchObject({ code: 0, signal: null, stderr: "" });
  await waitUntil(async () => (await countConnections()) === 0, "its connections are gone");
});
