import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import pg from "pg";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { findFaults } from "../../src/database/checks.ts";
import { connect } from "../../src/database/connection.ts";
import { startEmbeddedPostgres } from "../../src/database/embedded.ts";
import { RUNNING_ROLE } from "../../src/database/grants.ts";
import { asAdmin, asOwner, cloneDatabase, emptyDatabase } from "../support/clones.ts";
import { roomiestFolder } from "../support/database.ts";
import { call, createFixture } from "../support/fixtures.ts";
import { longTest } from "../support/long.ts";
import { freePort, runProgram, startProcess } from "../support/process.ts";
import { asRole } from "../support/roles.ts";
import { serviceEnvironment, startService } from "../support/service.ts";

vi.setConfig({ testTimeout: 120_000 });

/** Sends statements one by one, as the role that the address names. */
async function run(url: string, ...statements: string[]): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

const nameOf = (url: string) => new URL(url).pathname.slice(1);

/** A clone that is set otherwise for the running role, whatever it connects for from then on. */
async function cloneSet(...settings: string[]): Promise<string> {
  const url = await cloneDatabase();
  const role = `role ${RUNNING_ROLE} in database ${nameOf(url)}`;
  await run(asAdmin(url), ...settings.map((setting) => `alter ${role} set ${setting}`));
  return url;
}

/** What the real program says when it refuses to start; one line and no stack. */
async function refusalOf(url: string, command = "serve", env: Record<string, string> = {}): Promise<string> {
  const ended = await runProgram([command], { ...serviceEnvironment(url), ...env });
  expect(ended).toMatchObject({ code: 1, signal: null, stdout: "" });
  expect(ended.stderr).toMatch(/^[^\n]+\n$/);
  expect(ended.stderr).not.toContain(new URL(url).password);
  return ended.stderr.trimEnd();
}

/** What `/readyz` would say about a database. */
async function faultsOf(url: string): Promise<string[]> {
  const { db, close } = connect(url, { size: 1, onIdleError: () => {} });
  try {
    return await findFaults(db);
  } finally {
    await close();
  }
}

const OTHERWISE = [
  "datestyle = 'SQL, DMY'",
  "timezone = 'Asia/Kathmandu'",
  "default_transaction_isolation = 'serializable'",
  "client_encoding = 'LATIN1'",
  "search_path = 'nowhere'",
  "statement_timeout = 0",
];

describe("a server whose defaults are not ours", () => {
  test("serves calls as ever: dates, isolation, encoding, schema and time limits are the service's own", async () => {
    const url = await cloneSet(...OTHERWISE);
    const service = await startProcess("start", url);
    const { app } = await startService({}, url);
    const { token, milestone } = await createFixture(app);
    const first = await service.call("POST", `/milestones/${milestone}/fund`, { token });
    expect(first.status).toBe(202);
    expect((await service.call("POST", `/milestones/${milestone}/fund`, { token })).text).toBe(first.text);
    expect((await service.call("GET", "/readyz")).status).toBe(200);
    expect(await service.stop()).toMatchObject({ code: 0, stderr: "" });
  });

  longTest("does not fail 24 calls that write at once, as serializable would", async () => {
    const url = await cloneSet(...OTHERWISE);
    const service = await startProcess("serve", url);
    const { app } = await startService({}, url);
    const { token, contract } = await createFixture(app);
    const body = { description: "Chapter", amountUsd: 100 };
    const create = () =>
      service.call("POST", `/api/public/v1/contracts/${contract}/milestones`, { token, body });
    const answers = await Promise.all(Array.from({ length: 24 }, create));
    expect(answers.map(({ status }) => status)).toEqual(Array(24).fill(201));
  });

  test("does not fail transactions at once of a role that was not settled yet", async () => {
    const { app } = await startService({}, await cloneSet("default_transaction_isolation = 'serializable'"));
    const { token, contract } = await createFixture(app);
    const body = { description: "Chapter", amountUsd: 100 };
    const create = () =>
      call(app, "POST", `/api/public/v1/contracts/${contract}/milestones`, { token, body });
    const answers = await Promise.all(Array.from({ length: 24 }, create));
    expect(answers.map(({ status }) => status)).toEqual(Array(24).fill(201));
  });
});

describe("the running role", () => {
  test("carries its time limits and isolation from its first start on, for whatever connects as it later", async () => {
    const url = await cloneSet(...OTHERWISE);
    await (await startProcess("serve", url)).stop();
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    onTestFinished(() => client.end());
    const { rows } = await client.query(`select current_setting('statement_timeout') as statement,
      current_setting('lock_timeout') as lock, current_setting('idle_in_transaction_session_timeout') as idle,
      current_setting('default_transaction_isolation') as isolation, current_setting('search_path') as path`);
    expect(rows).toEqual([
      { statement: "5s", lock: "3s", idle: "10s", isolation: "read committed", path: "public" },
    ]);
  });

  longTest("can be settled by many starts at once", async () => {
    const url = await cloneSet("statement_timeout = 0", "lock_timeout = 0");
    const started = await Promise.all([1, 2, 3].map(() => startProcess("serve", url)));
    for (const service of started) expect(await service.stop()).toMatchObject({ code: 0, stderr: "" });
  });
});

describe("a start says in one line that", () => {
  longTest("the database is not encoded in UTF8", async () => {
    const name = `latin_${Date.now().toString(36)}`;
    const admin = asAdmin(await emptyDatabase());
    await run(admin, `create database ${name} encoding 'LATIN1' locale 'C' template template0`);
    const url = new URL(admin);
    url.pathname = `/${name}`;
    expect(await refusalOf(url.href, "serve", { MIGRATE_ON_START: "true" })).toMatch(
      /encoded in LATIN1.*encoding 'UTF8'/,
    );
  });

  test("the server takes no writes", async () => {
    const url = await cloneSet("default_transaction_read_only = on");
    expect(await refusalOf(url)).toMatch(/takes no writes \(default_transaction_read_only/);
    expect(await faultsOf(url)).toEqual([expect.stringMatching(/takes no writes/)]);
  });

  longTest("the server is a standby", async () => {
    const dataDir = await mkdtemp(join(await roomiestFolder(), "countersign-standby-"));
    await chmod(dataDir, 0o755);
    const options = { dataDir, settings: { fsync: "off" } };
    const primary = await startEmbeddedPostgres(options);
    await run(primary.url, "checkpoint");
    await primary.stop();
    await writeFile(join(primary.dataFolder, "standby.signal"), "");
    const standby = await startEmbeddedPostgres(options);
    onTestFinished(async () => {
      await standby.stop();
      for (const folder of new Set([dataDir, dirname(standby.dataFolder)]))
        await rm(folder, { recursive: true, force: true, maxRetries: 10 });
    });
    expect(await refusalOf(standby.url)).toMatch(/is a standby.*point DATABASE_URL to the primary/);
    expect(await refusalOf(standby.url, "serve", { MIGRATE_ON_START: "true" })).toMatch(/is a standby/);
  });

  test("rights are missing, on a table or a whole schema, and readiness says so too", async () => {
    const url = await cloneDatabase();
    expect(await faultsOf(url)).toEqual([]);
    await run(asOwner(url), "revoke select on sandbox.charges from countersign_app");
    const line = /countersign_app may not select on sandbox.charges: run `migrate` with DATABASE_MIGRATE_URL/;
    expect(await faultsOf(url)).toEqual([expect.stringMatching(line)]);
    await run(asOwner(url), "revoke usage on schema auth from countersign_app");
    expect(await refusalOf(url)).toMatch(/may not select on sandbox\.charges, .*auth\.\w+.* and \d+ more/);
  });

  longTest("the migrating role may create nothing in public", async () => {
    const url = asRole(await emptyDatabase(), "countersign_app");
    expect(await refusalOf(url, "migrate")).toMatch(
      /permission denied for schema public\. Run src\/database\/roles\.sql/,
    );
  });

  longTest("password, database or address are wrong", async () => {
    const url = new URL(await cloneDatabase());
    const wrong = (change: (url: URL) => void) => {
      const changed = new URL(url);
      change(changed);
      return changed.href;
    };
    expect(await refusalOf(wrong((one) => (one.pathname = "/nowhere")))).toMatch(
      /"nowhere" does not exist\. Create it/,
    );
    const nowhere = `postgres://user:pa55word@127.0.0.1:${await freePort()}/pay`;
    expect(await refusalOf(nowhere)).toMatch(/ECONNREFUSED.*Check DATABASE_URL, and that it is running/);
    expect(await refusalOf("postgres://user:pa55word@nowhere.invalid/pay")).toMatch(
      /nowhere\.invalid.*Check DATABASE_URL/,
    );
    // A server that trusts its own machine asks for no password, but knows its roles.
    expect(await refusalOf(wrong((one) => (one.username = "nobody_here")))).toMatch(
      /nobody_here.*Check user and password of DATABASE_URL/,
    );
  });

  longTest("TLS cannot be had, or its certificate is missing", async () => {
    const [url] = (await cloneDatabase()).split("?");
    expect(await refusalOf(`${url}?sslmode=verify-full`)).toMatch(/does not support SSL.*Check sslmode/);
    expect(await refusalOf(`${url}?sslmode=verify-full&sslrootcert=/nowhere.pem`)).toMatch(
      /nowhere\.pem.*Check sslmode and sslrootcert/,
    );
  });
});

longTest("a start by hand on a database that is away is one line too", async () => {
  const nowhere = `postgres://user:pa55word@127.0.0.1:${await freePort()}/pay`;
  const ended = await runProgram(["reset-link", "owner@example.com"], serviceEnvironment(nowhere));
  expect(ended).toMatchObject({
    code: 1,
    stdout: "",
    stderr: expect.stringMatching(/^[^\n]*ECONNREFUSED[^\n]*\n$/),
  });
});
