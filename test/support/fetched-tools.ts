import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { closeAfterFile } from "./closing.ts";

const run = promisify(execFile);

/** Programs that a test brings for itself, in a folder of their own. */
export type FetchedTools = {
  folder: string;
  /** Runs a program of a package by its path in `node_modules`. @returns what it printed, on both outputs */
  run(path: string, ...args: string[]): Promise<string>;
};

/**
 * Installs packages into a temporary folder, without their scripts: tools too heavy for `npm ci`, by which others would
 * look at this service. @returns undefined where npm's registry cannot be reached; the run says so, and fails in CI
 */
export async function fetchTools(packages: Record<string, string>): Promise<FetchedTools | undefined> {
  const folder = await mkdtemp(join(tmpdir(), "countersign-tools-"));
  closeAfterFile(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
  const named = Object.entries(packages).map(([name, version]) => `${name}@${version}`);
  const install = ["install", "--ignore-scripts", "--no-audit", "--no-fund", ...named];
  const failed = await run("npm", install, { cwd: folder, timeout: 300_000 }).then(
    () => undefined,
    (error: Error) => error,
  );
  if (failed !== undefined) {
    const said = `${named.join(" ")} could not be installed: ${failed.message.split("\n").at(-2)}`;
    if (process.env.CI) throw new Error(said, { cause: failed });
    console.warn(`SKIPPED: ${said}`);
    return undefined;
  }
  return {
    folder,
    run: async (path, ...args) => {
      const { stdout, stderr } = await run(process.execPath, [join("node_modules", path), ...args], {
        cwd: folder,
        maxBuffer: 64 * 1024 * 1024,
      });
      return stdout + stderr;
    },
  };
}
