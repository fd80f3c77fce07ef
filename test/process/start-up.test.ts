import { access, mkdtemp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { loadConfig, loadMigrateUrl } from "../../src/config/config.ts";
import { isPostmaster, readPostmaster } from "../../src/database/embedded/leftover.ts";
import { roomiestFolder } from "../support/database.ts";
import { launch, runProgram, startProcess, waitUntil } from "../support/process.ts";
import { serviceEnvironment } from "../support/service.ts";

vi.setConfig({ testTimeout: 120_000 });

const ENTRY = join(import.meta.dirname, "../../src/countersign.mjs");

/** A folder for an embedded database that is made there. */
async function newDataDir(): Promise<string> {
  const folder = await mkdtemp(join(await roomiestFolder(), "countersign-start-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }));
  return folder;
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

/** The faults of a configuration, one a line. */
function faultsOf(env: Record<string, string>): string[] {
  try {
    loadConfig(env);
  } catch (error) {
    return (error as Error).message.split("\n");
  }
  return [];
}

describe("SIGTERM during a first start", () => {
  test("ends it in one line, serves no request, leaves nothing running, and the next start goes on", async () => {
    const DATA_DIR = await newDataDir();
    const env = { DATA_DIR, LOG_LEVEL: "fatal" };
    const program = launch(["start"], env);
    await waitUntil(() => exists(join(DATA_DIR, "countersign.lock")), "it has begun");
    expect(await program.stop()).toEqual({
      code: 0,
      signal: null,
      stdout: "",
      stderr: "Stopped before it had started. Nothing is left running; start it again to continue.\n",
    });
    const left = await readPostmaster(join(DATA_DIR, "postgres"));
    expect(left === undefined ? false : await isPostmaster(left.pid, join(DATA_DIR, "postgres"))).toBe(false);

    const next = await startProcess("start", "", { ...env, DATABASE_URL: undefined });
    expect((await next.call("GET", "/readyz")).status).toBe(200);
    expect(await next.stop()).toMatchObject({ code: 0 });
  });
});

describe("a start without DATABASE_URL", () => {
  test("on a HOST that lets other machines in is refused in one line", async () => {
    const ended = await runProgram(["start"], { HOST: "0.0.0.0", DATA_DIR: await newDataDir() });
    expect(ended).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringMatching(/^HOST 0\.0\.0\.0 [^\n]*set DATABASE_URL[^\n]*\n$/),
    });
  });

  test("is not led astray by PGOPTIONS and other variables of Postgres's own programs", async () => {
    const program = await startProcess("start", "", {
      DATABASE_URL: undefined,
      DATA_DIR: await newDataDir(),
      LOG_LEVEL: "fatal",
      PGOPTIONS: "-c nonsense=on -c datestyle=German -c default_transaction_isolation=serializable",
      PGSSLMODE: "require",
      PGSSLNEGOTIATION: "direct",
      PGHOST: "nowhere.invalid",
      PGPORT: "1",
      PGUSER: "nobody",
      PGPASSWORD: "wrong",
      PGDATABASE: "nowhere",
      PGAPPNAME: "other",
      PGREPLICATION: "database",
      PGCLIENTENCODING: "LATIN1",
    });
    expect((await program.call("GET", "/readyz")).status).toBe(200);
    expect(await program.stop()).toMatchObject({ code: 0, stderr: "" });
  });
});

describe("a Node that is too old", () => {
  const old =
    'Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.1.0" } })';
  const import_ = `data:text/javascript,${encodeURIComponent(old)}`;

  test("is told so in one line by the way in that the documents name, before any TypeScript is loaded", async () => {
    const program = launch(["migrate"], { NODE_OPTIONS: `--import ${import_}` }, ENTRY);
    const { code, stdout, stderr } = await program.ended;
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^Countersign needs Node 26, and this is 20\.1\.0: [^\n]*npx node[^\n]*\n$/);
    expect(await readFile(join(import.meta.dirname, "../../README.md"), "utf8")).not.toContain(
      "node src/main.ts",
    );
  });

  test("and one that is new enough runs the program by it", async () => {
    const { code, stderr } = await launch(["no-such"], {}, ENTRY).ended;
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/^There is no command no-such/),
    });
  });
});

describe("TRUST_PROXY", () => {
  test.each(["1", "0", "10.0.0.0/8", "10.0.0.7, fd00::/8", "::1"])("%s is taken", (TRUST_PROXY) => {
    expect(faultsOf({ TRUST_PROXY })).toEqual([]);
  });

  test.each([
    "10.0.0.0/33",
    "999.1.1.1",
    "10.0.0.0/8,",
    "1.2.3",
    "::1/x",
    "fe80::1%eth0",
    "0.0.0.0/0",
    "::/0",
    "all",
  ])("%s is refused in one line, and not by what reads it later", (TRUST_PROXY) => {
    expect(faultsOf({ TRUST_PROXY })).toEqual([expect.stringMatching(/^TRUST_PROXY must be /)]);
  });
});

describe("the address of a database", () => {
  const others = { ...serviceEnvironment(""), DATABASE_URL: undefined };

  test.each([
    "postgres://user@/pay?host=/run/postgresql",
    "postgres://user:pass%2Fword@/pay?host=/run/postgresql",
    "postgresql://user@db.example.com/pay?sslmode=verify-full",
  ])("%s is taken", (url) => {
    expect(loadConfig({ ...others, DATABASE_URL: url }).databaseUrl).toBe(url);
    expect(loadMigrateUrl({ DATABASE_MIGRATE_URL: url, DATABASE_URL: "postgres://other@host/pay" })).toBe(
      url,
    );
  });

  test("whose password holds what must be encoded is refused as that, and never repeated", () => {
    const DATABASE_URL = "postgres://user:pa55/word@db.example.com:5432/pay";
    const [fault = "", ...more] = faultsOf({ ...others, DATABASE_URL } as Record<string, string>);
    expect([fault, more]).toEqual([
      expect.stringMatching(/^DATABASE_URL cannot be read: .*percent-encoded/),
      [],
    ]);
    expect(fault).not.toContain("pa55");
  });

  test("of the migrating role alone starts no demo: DATABASE_URL is missing beside it", () => {
    expect(faultsOf({ DATABASE_MIGRATE_URL: "postgres://owner@host/pay" })).toEqual([
      expect.stringMatching(/^DATABASE_MIGRATE_URL needs DATABASE_URL/),
    ]);
  });
});
