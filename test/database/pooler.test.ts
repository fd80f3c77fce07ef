import pg from "pg";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { RUNNING_ROLE } from "../../src/database/grants.ts";
import { asAdmin, cloneDatabase } from "../support/clones.ts";
import { createFixture } from "../support/fixtures.ts";
import { CARRIES_STATEMENTS, pgbouncerVersion, startPgbouncer } from "../support/pgbouncer.ts";
import { runProgram, startProcess, waitUntil } from "../support/process.ts";
import { serviceEnvironment, startService } from "../support/service.ts";

vi.setConfig({ testTimeout: 120_000 });

async function openClient(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => {});
  await client.connect();
  onTestFinished(() => client.end());
  return client;
}

/** A clone on which the running role carries none of its settings yet. */
async function cloneUnsettled(): Promise<string> {
  const url = await cloneDatabase();
  const admin = await openClient(asAdmin(url));
  const name = new URL(url).pathname.slice(1);
  for (const setting of ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"])
    await admin.query(`alter role ${RUNNING_ROLE} in database ${name} set ${setting} = 0`);
  return url;
}

const LIMITS = `select current_setting('statement_timeout') as statement, current_setting('lock_timeout') as lock,
  current_setting('idle_in_transaction_session_timeout') as idle`;

if (pgbouncerVersion === undefined)
  console.log("no PgBouncer (PGBOUNCER_PATH): nothing was tried behind one");

describe.skipIf(pgbouncerVersion === undefined || pgbouncerVersion < CARRIES_STATEMENTS)(
  "behind PgBouncer",
  () => {
    test("calls are answered as ever, by two processes on fewer connections than they have clients", async () => {
      const url = await cloneUnsettled();
      const { app } = await startService({}, url);
      const pooler = await startPgbouncer(url, { default_pool_size: 4 });
      const env = { DATABASE_DIRECT_URL: url, PUBLIC_URL: "http://localhost:3000" };
      const one = await startProcess("start", pooler.url, env);
      const other = await startProcess("serve", pooler.url, env);
      const { token, milestone, contract } = await createFixture(app);
      const post = (n: number, path: string, body?: unknown) =>
        (n % 2 === 0 ? one : other).call("POST", path, { token, body });
      const answers = await Promise.all(
        Array.from({ length: 60 }, (_, n) => post(n, `/milestones/${milestone}/fund`)),
      );
      expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
      const body = { description: "Chapter", amountUsd: 100 };
      const path = `/api/public/v1/contracts/${contract}/milestones`;
      const made = await Promise.all(Array.from({ length: 20 }, (_, n) => post(n, path, body)));
      expect(made.map(({ status }) => status)).toEqual(Array(20).fill(201));
      for (const service of [one, other]) {
        expect((await service.call("GET", "/readyz")).status).toBe(200);
        expect(await service.stop()).toMatchObject({ code: 0, stderr: "" });
      }
    });

    test("the time limits are in force, and end a transaction whose process was cut off before its COMMIT", async () => {
      const url = await cloneUnsettled();
      const { app } = await startService({}, url);
      const { token, contract } = await createFixture(app);
      const pooler = await startPgbouncer(url);
      const service = await startProcess("serve", pooler.url, { DATABASE_DIRECT_URL: url });
      const client = await openClient(pooler.url);
      for (let n = 0; n < 3; n++) {
        expect((await client.query(LIMITS)).rows).toEqual([{ statement: "5s", lock: "3s", idle: "10s" }]);
      }
      await client.query("begin");
      await client.query("select from account_heads for no key update");
      const body = { description: "Chapter", amountUsd: 100 };
      const create = () =>
        service.call("POST", `/api/public/v1/contracts/${contract}/milestones`, { token, body });
      expect((await create()).status).toBe(503);
      await waitUntil(async () => (await create()).status === 201, "the lock is gone");
    });

    test("connections that it opened before the role was settled are found by readiness, and RECONNECT mends them", async () => {
      const url = await cloneUnsettled();
      const pooler = await startPgbouncer(url);
      const old = await Promise.all([1, 2, 3].map(() => openClient(pooler.url)));
      await Promise.all(old.map((client) => client.query("begin")));
      await Promise.all(old.map((client) => client.query("commit")));
      const service = await startProcess("serve", pooler.url, { DATABASE_DIRECT_URL: url });
      const busy = await openClient(pooler.url);
      await waitUntil(async () => {
        // Keeps one of them, so that the service meets the others.
        await busy.query("begin");
        const { status, text } = await service.call("GET", "/readyz");
        await busy.query("commit");
        return status === 503 && /statement_timeout is 0 ms.*RECONNECT/.test(text);
      }, "an old connection is met");
      await pooler.command("RECONNECT");
      await waitUntil(async () => {
        const { rows } = await busy.query(LIMITS);
        return rows[0].statement === "5s" && (await service.call("GET", "/readyz")).status === 200;
      }, "all are new");
    });

    test("statements that are not carried from one connection to the next are refused at the start", async () => {
      const url = await cloneDatabase();
      const pooler = await startPgbouncer(url, { max_prepared_statements: 0 });
      await expectLostStatements(pooler.url);
    });

    test("a pooler that knows no transactions is refused at the start", async () => {
      const pooler = await startPgbouncer(await cloneDatabase(), { pool_mode: "statement" });
      const { code, stderr } = await runProgram(["serve"], serviceEnvironment(pooler.url));
      expect({ code, stderr }).toEqual({
        code: 1,
        stderr: expect.stringMatching(/^[^\n]*transaction or session mode[^\n]*\n$/),
      });
    });
  },
);

describe.skipIf(pgbouncerVersion === undefined || pgbouncerVersion >= CARRIES_STATEMENTS)(
  "behind an old PgBouncer",
  () => {
    test("a start is refused, in one line that names the version to use", async () => {
      await expectLostStatements((await startPgbouncer(await cloneDatabase())).url);
    });
  },
);

async function expectLostStatements(url: string): Promise<void> {
  const { code, stderr } = await runProgram(["serve"], serviceEnvironment(url));
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: expect.stringMatching(/^[^\n]*loses prepared statements: use PgBouncer 1\.21 or newer[^\n]*\n$/),
  });
}
