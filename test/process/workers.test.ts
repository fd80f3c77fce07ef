import { expect, test, vi } from "vitest";
import { cloneDatabase } from "../support/clones.ts";
import { createFixture } from "../support/fixtures.ts";
import { holdLock } from "../support/locks.ts";
import { launch, runProgram, startProcess, waitUntil } from "../support/process.ts";
import { serviceEnvironment, startService } from "../support/service.ts";

vi.setConfig({ testTimeout: 120_000 });

const url = await cloneDatabase();
const { app, connection } = await startService({}, url);
const THREE = { WEB_CONCURRENCY: "3", DATABASE_POOL_SIZE: "9", LOG_LEVEL: "info", DRAIN_SECONDS: "0" };

/** The processes that the log says were started, the newest last. */
function pidsIn(output: string): number[] {
  return [...output.matchAll(/"pid":(\d+),"msg":"process started"/g)].map(([, pid]) => Number(pid));
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

const alive = (output: string) => pidsIn(output).filter(isAlive);

test("several processes answer at one port, one that is killed is replaced, and SIGTERM lets all of them finish", async () => {
  const { token, contract, milestone } = await createFixture(app);
  const service = await startProcess("serve", url, THREE);
  await waitUntil(() => alive(service.output()).length === 3, "three processes run");

  const [, victim = 0] = pidsIn(service.output());
  process.kill(victim, "SIGKILL");
  await waitUntil(() => pidsIn(service.output()).length === 4, "another one has taken its place");
  await waitUntil(() => alive(service.output()).length === 3, "three run again");
  expect(service.output()).toContain("a process ended and is started again");
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => service.call("GET", "/api/public/v1/auth/me", { token })),
  );
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));

  await using lock = await holdLock(
    connection,
    `select from contracts where id = '${contract}' for no key update`,
  );
  const running = service.call("POST", `/milestones/${milestone}/fund`, { token });
  await waitUntil(async () => {
    const { rows } = await connection.pool.query(
      "select 1 from pg_stat_activity where wait_event_type = 'Lock'",
    );
    return rows.length > 0;
  }, "a request waits");
  const ended = service.stop();
  await waitUntil(() => service.output().includes('"msg":"stopping"'), "it stops");
  await lock.letGo();
  expect((await running).status).toBe(202);
  expect((await ended).code).toBe(0);
  expect(alive(service.output())).toEqual([]);
});

test("each of several processes has its share of the connections", async () => {
  const service = await startProcess("serve", url, {
    ...THREE,
    WEB_CONCURRENCY: "2",
    DATABASE_POOL_SIZE: "6",
  });
  const { token } = await createFixture(app);
  const own = connection.pool.totalCount;
  const calls = () =>
    Promise.all(Array.from({ length: 60 }, () => service.call("GET", "/tokens", { token })));
  for (let round = 0; round < 5; round++) await calls();
  const { rows } = await connection.pool.query(
    `select count(*)::int as count from pg_stat_activity
     where datname = current_database() and application_name = 'countersign'`,
  );
  // Each has three, and one that listens.
  expect(rows[0].count - own).toBeLessThanOrEqual(2 * (3 + 1));
});

test("a first process that cannot start ends all of them with its line and its code", async () => {
  const missing = new URL(url);
  missing.pathname = "/no_such_database";
  const ended = await runProgram(["serve"], { ...serviceEnvironment(missing.href), ...THREE });
  expect(ended.code).toBe(1);
  expect(ended.stderr).toContain("no_such_database");
});

test("the embedded database belongs to one process, so that several refuse to start on it", async () => {
  const ended = await launch(["serve"], { WEB_CONCURRENCY: "2" }).ended;
  expect(ended).toMatchObject({ code: 1, stdout: "" });
  expect(ended.stderr).toContain("WEB_CONCURRENCY needs DATABASE_URL");
});
