import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Fault } from "../faults.ts";
import { closeAfterFile } from "./closing.ts";

const ROOT = join(import.meta.dirname, "../..");
const LEFT_OUT = ["node_modules", ".git", ".data", ".bench", ".ci"];
const VITEST = join(ROOT, "node_modules/vitest/vitest.mjs");

type Report = {
  testResults: { assertionResults: { status: string }[] }[];
};

/** What became of the test that a fault names: it failed, as it should; or what there is to say otherwise. */
type Verdict = string;
export const FAILED = "failed";
const PASSED = "passed";

/** A race may take more than one try to show a fault. */
const TRIES = 3;

/** A copy of the project in which faults can be tried, one at a time; removed after the file's tests. */
export async function createScratch(adminUrl: string): Promise<(fault: Fault) => Promise<Verdict>> {
  const folder = await mkdtemp(join(tmpdir(), "countersign-faults-"));
  closeAfterFile(() => rm(folder, { recursive: true, force: true }));
  for (const name of await readdir(ROOT)) {
    if (!LEFT_OUT.includes(name)) await cp(join(ROOT, name), join(folder, name), { recursive: true });
  }
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));

  return async ({ file, find, replace, test, title }) => {
    const path = join(folder, file);
    const right = await readFile(path, "utf8");
    await writeFile(
      path,
      right.replace(find, () => replace),
    );
    try {
      const output = join(folder, "report.json");
      await rm(output, { force: true });
      const pattern = title.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
      const flags = [
        "--reporter=json",
        `--outputFile=${output}`,
        `--fsModuleCachePath=${join(folder, ".cache")}`,
      ];
      if (test.endsWith(".long.test.ts")) flags.push("--mode=long");
      for (let turn = 1; ; turn++) {
        const printed = await run(folder, [VITEST, "run", test, "-t", pattern, ...flags], adminUrl);
        const verdict = await readVerdict(output, printed);
        if (verdict !== PASSED || turn === TRIES) return verdict;
      }
    } finally {
      await writeFile(path, right);
    }
  };
}

async function readVerdict(output: string, printed: string): Promise<Verdict> {
  const report = await readFile(output, "utf8").catch(() => undefined);
  if (report === undefined) return printed;
  const { testResults } = JSON.parse(report) as Report;
  const tried = testResults
    .flatMap(({ assertionResults }) => assertionResults)
    .filter(({ status }) => status === "passed" || status === "failed");
  if (tried.length === 0) return `no test was tried: ${printed}`;
  return tried.some(({ status }) => status === "failed") ? FAILED : PASSED;
}

async function run(cwd: string, args: string[], adminUrl: string): Promise<string> {
  const { VITEST: _vitest, VITEST_POOL_ID: _pool, VITEST_WORKER_ID: _worker, CI: _ci, ...env } = process.env;
  const child = spawn(process.execPath, args, {
    cwd,
    env: { ...env, TEST_DATABASE_URL: adminUrl },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let printed = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (printed += text));
  await once(child, "close");
  return printed;
}
