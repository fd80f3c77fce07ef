import { readFileSync } from "node:fs";
import { glob } from "node:fs/promises";
import { join } from "node:path";
import { defineConfig } from "vitest/config";

const ALONE = ".alone.test.ts";
const LONG = ".long.test.ts";
/** Contract, human, money, feed and receipts; and what is of a cluster alone. */
const ON_CITUS =
  "test/{accounts,approvals,billing,citus,contracts,events,payments,receipts,stories}/*.test.ts";
/** They copy the database of one server, or switch all triggers off. */
const NOT_ON_CITUS = [
  "test/payments/{survive-loss,kill-in-recovery}.test.ts",
  "test/events/server-runs.test.ts",
  "test/approvals/two-people.test.ts",
];
const OF_CITUS = "test/citus/*.test.ts";
/** What spawned programs were compiled to, for the next ones. */
const COMPILED = join(import.meta.dirname, "node_modules/.cache/countersign-compiled");

// `npm run test:long` is `--mode long`.
export default defineConfig(async ({ mode }) => {
  const shared = {
    setupFiles: ["test/support/set-up.ts"],
    env: { NODE_COMPILE_CACHE: COMPILED, TEST_MODE: mode },
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // What is awaited comes when the machine has time for it.
    expect: { poll: { timeout: 40_000 } },
  };
  // What .ci/run counts by.
  const counts: ["json", { outputFile: string }] = ["json", { outputFile: `.ci/${mode}.json` }];
  const files = (await Array.fromAsync(glob("test/**/*.test.ts"))).filter(
    mode === "long" ? triesMore : (file) => !file.endsWith(LONG),
  );
  const alone = files.filter((file) => file.endsWith(ALONE));
  // The same tests, on a cluster over whose nodes the accounts' tables are distributed.
  const citus = {
    test: {
      ...shared,
      name: "citus",
      include: [ON_CITUS],
      exclude: [...alone, ...NOT_ON_CITUS],
      isolate: false,
      globalSetup: ["test/support/citus-setup.ts"],
    },
  };
  return {
    test: {
      globalSetup: ["test/support/global-setup.ts"],
      // Each file has a database of its own, so files run beside each other. A file waits almost half of its time, for
      // the database, a browser or a timer: three at once keep two cores busy.
      pool: "forks",
      maxWorkers: 3,
      reporters: process.env.CI ? ["default", counts] : ["default"],
      projects: [
        // To import the program takes a second, so these files share three processes: what one of them opens or changes
        // there must end with it, which `set-up.ts` sees to.
        { test: { ...shared, name: "app", include: files, exclude: [...alone, OF_CITUS], isolate: false } },
        // Each of these files has a process of its own, as it changes what a whole process has but once.
        { test: { ...shared, name: "alone", include: alone } },
        ...(process.env.CITUS_DATABASE_URL ? [citus] : []),
      ],
    },
  };
});

/** Whether a long run tries more of a file than an everyday run does. */
function triesMore(file: string): boolean {
  return file.endsWith(LONG) || readFileSync(file, "utf8").includes('/support/long.ts"');
}
