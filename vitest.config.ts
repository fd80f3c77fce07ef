import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/global-setup.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // What is awaited comes when the machine has time for it.
    expect: { poll: { timeout: 20_000 } },
    // Each file has a database of its own, so files run beside each other; more than two would only queue.
    pool: "forks",
    maxWorkers: 2,
    // .ci/run reads the counts from the second one.
    reporters: process.env.CI ? ["default", ["json", { outputFile: ".ci/report.json" }]] : ["default"],
  },
});
