import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const PATIENCE = 60_000;
const ROOT = path.join(import.meta.dirname, "..");

/** A process of ours. */
export type Child = { stop(): Promise<void> };
/** The service, and the number of its process. */
export type Service = Child & { port: number; pid: number };
/** One that is given work by messages, and answers each with one. */
export type Worker<Work, Result> = Child & { ask(work: Work): Promise<Result> };

/**
 * Starts the service as production does, on a free port; its log goes where nobody reads it.
 * @param root folder of the version to start
 */
export async function startService(environment: Record<string, string>, root = ROOT): Promise<Service> {
  const port = await freePort();
  const flags = process.env.BENCH_NODE_FLAGS?.split(" ") ?? [];
  const child = spawn(process.execPath, [...flags, "src/main.ts", "serve"], {
    cwd: root,
    env: { PATH: process.env.PATH, ...environment, PORT: String(port) },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined);
    if (answer?.ok) return { port, pid: child.pid ?? 0, stop: () => stop(child) };
    if (child.exitCode !== null || Date.now() > deadline) {
      await stop(child);
      throw new Error("the service did not start");
    }
    await delay(50);
  }
}

/** Starts what works beside the service: the sweeps. */
export function startWork(environment: Record<string, string>): Child {
  const child = spawn(process.execPath, ["src/main.ts", "work"], {
    cwd: ROOT,
    env: { PATH: process.env.PATH, ...environment },
    stdio: ["ignore", "ignore", "inherit"],
  });
  return { stop: () => stop(child) };
}

/**
 * Runs a program to its end.
 * @throws Error unless it exits with 0
 */
export async function run(
  program: string,
  args: readonly string[],
  {
    cwd = ROOT,
    env = process.env,
    stdout = false,
  }: { cwd?: string; env?: NodeJS.ProcessEnv; stdout?: boolean } = {},
): Promise<void> {
  const child = spawn(program, args, {
    cwd,
    env,
    stdio: ["ignore", stdout ? "inherit" : "ignore", "inherit"],
  });
  const [code] = await once(child, "exit");
  if (code !== 0) throw new Error(`${program} ${args.join(" ")} exited with ${code}`);
}

/** Starts one of the scripts of this folder in a process of its own. */
export function startWorker<Work, Result>(script: string): Worker<Work, Result> {
  const child = fork(path.join(import.meta.dirname, script), { serialization: "advanced" });
  return {
    stop: () => stop(child),
    async ask(work) {
      child.send(work as object);
      const ended = new AbortController();
      const { signal } = ended;
      try {
        return await Promise.race([
          once(child, "message", { signal }).then(([result]) => result as Result),
          once(child, "exit", { signal }).then(() => Promise.reject(new Error(`${script} gave up`))),
        ]);
      } finally {
        ended.abort();
      }
    },
  };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill();
  const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE);
  await exited;
  clearTimeout(timer);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
