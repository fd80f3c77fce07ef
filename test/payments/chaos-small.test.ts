import { execFile } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";

const RUN = join(import.meta.dirname, "../chaos/run.ts");

test("with services and Postgres killed at random under load, nothing is lost and nothing is double", async () => {
  const { code, said } = await new Promise<{ code: unknown; said: string }>((resolve) => {
    execFile(process.execPath, [RUN, "--small"], (error, stdout, stderr) =>
      resolve({ code: error?.code ?? 0, said: stdout + stderr }),
    );
  });
  expect(code, said).toBe(0);
}, 300_000);
