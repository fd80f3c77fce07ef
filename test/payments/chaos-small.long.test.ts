import { execFile } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";

const RUN = join(import.meta.dirname, "../chaos/run.ts");

test.for([
  ["the sandbox", []],
  ["Stripe, that makes mistakes too", ["--stripe"]],
] as const)(
  "with services and Postgres killed at random under load, over %s, nothing is lost and nothing is double",
  { timeout: 300_000 },
  async ([, options]) => {
    const { code, said } = await new Promise<{ code: unknown; said: string }>((resolve) => {
      execFile(process.execPath, [RUN, "--small", ...options], (error, stdout, stderr) =>
        resolve({ code: error?.code ?? 0, said: stdout + stderr }),
      );
    });
    expect(code, said).toBe(0);
  },
);
