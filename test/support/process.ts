import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { closeAfterFile } from "./closing.ts";
import type { Answer } from "./fixtures.ts";
import { guard } from "./guard.ts";
import { programEnvironment } from "./program-env.ts";
import { serviceEnvironment } from "./service.ts";

const MAIN = join(import.meta.dirname, "../../src/main.ts");
const READY_WITHIN = 60_000;
const POLL = 50;
const PORTS_TRIED = 3;

/** Variables for a process; `undefined` takes one away. */
type Environment = Record<string, string | undefined>;
export type Ended = { code: number | null; signal: NodeJS.Signals | null; stdout: string; stderr: string };

export type Program = {
  pid: number;
  /** What it has printed so far, on both streams. */
  output(): string;
  /** Resolves when it is gone and all that it printed has been read. */
  ended: Promise<Ended>;
  /** SIGTERM, and how it ended. */
  stop(): Promise<Ended>;
  /** SIGKILL: no chance to tidy up. */
  kill9(): Promise<Ended>;
};

export type ServiceProcess = Program & {
  port: number;
  /** Calls it over a socket. */
  call(
    method: string,
    path: string,
    options?: { token?: string; body?: unknown; headers?: Record<string, string> },
  ): Promise<Answer>;
};

/**
 * Starts the real program, `node src/main.ts …`, and does not wait for anything. It ends with the test file.
 * @param main the file to run in its stead
 */
export function launch(args: readonly string[], env: Environment, main = MAIN): Program {
  return run(process.execPath, [main, ...args], env);
}

/** As `launch`, with so many file descriptors at most. */
export function launchWith(
  { descriptors }: { descriptors: number },
  args: readonly string[],
  env: Environment,
): Program {
  const script = `ulimit -n ${descriptors}; exec "$0" "$@"`;
  return run("/bin/sh", ["-c", script, process.execPath, MAIN, ...args], env);
}

const CHEAP_PASSWORDS = new URL("./cheap-passwords.ts", import.meta.url).href;

function run(command: string, args: readonly string[], env: Environment): Program {
  const child = spawn(command, args, {
    env: { ...programEnvironment(), NODE_OPTIONS: `--import=${CHEAP_PASSWORDS}`, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const { pid } = child;
  if (pid === undefined) throw new Error("the program could not be started");
  const letGo = guard(pid);
  const printed = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => (printed.stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (printed.stderr += text));
  child.once("exit", letGo);
  const end = (signal: NodeJS.Signals): Promise<Ended> => {
    child.kill(signal);
    return program.ended;
  };
  const program: Program = {
    pid,
    output: () => printed.stdout + printed.stderr,
    ended: once(child, "close").then(([code, signal]) => {
      return { code, signal, ...printed };
    }),
    stop: () => end("SIGTERM"),
    kill9: () => end("SIGKILL"),
  };
  closeAfterFile(() => program.kill9());
  return program;
}

/** Runs the program until it ends by itself. */
export function runProgram(args: readonly string[], env: Environment): Promise<Ended> {
  return launch(args, env).ended;
}

/**
 * Starts the API of the real program on the database at `url`, on a port of its own, and waits until it is
 * ready. Processes that stand side by side share an origin: pass them one PUBLIC_URL.
 */
export async function startProcess(
  command: "serve" | "start",
  url: string,
  env: Environment = {},
  main = MAIN,
): Promise<ServiceProcess> {
  for (let tried = 1; ; tried++) {
    const port = await freePort();
    const origin = `http://127.0.0.1:${port}`;
    const settings = { ...serviceEnvironment(url), PUBLIC_URL: `http://localhost:${port}`, ...env };
    const program = launch([command], { ...settings, PORT: String(port) }, main);
    if (await becomesReady(program, origin)) {
      return { ...program, port, call: (...request) => callOrigin(origin, ...request) };
    }
    // Between our look and its start another process took the port.
    const { stderr } = await program.ended;
    if (!stderr.includes("is taken") || tried === PORTS_TRIED) throw new Error(`${command} ended: ${stderr}`);
  }
}

/** A free port. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new TypeError("a port was asked for");
  return address.port;
}

/** Looks again and again until `condition` is met; what it throws counts as not yet. */
export async function waitUntil(
  condition: () => boolean | Promise<boolean>,
  said: string,
  within = READY_WITHIN,
): Promise<void> {
  const end = Date.now() + within;
  let last: unknown;
  while (Date.now() < end) {
    try {
      if (await condition()) return;
    } catch (error) {
      last = error;
    }
    await delay(POLL);
  }
  throw new Error(`waited ${within} ms in vain until ${said}`, { cause: last });
}

async function becomesReady(program: Program, origin: string): Promise<boolean> {
  let gone = false;
  void program.ended.then(() => {
    gone = true;
  });
  const ready = async () => gone || (await fetch(`${origin}/readyz`)).status === 200;
  await waitUntil(ready, `process ${program.pid} is ready: ${program.output()}`);
  return !gone;
}

async function callOrigin(
  origin: string,
  method: string,
  path: string,
  { token, body, headers }: { token?: string; body?: unknown; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const response = await fetch(`${origin}${path}`, {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const json = response.headers.get("content-type")?.startsWith("application/json") && text !== "";
  return {
    status: response.status,
    headers: Object.fromEntries(response.headers),
    text,
    body: json ? JSON.parse(text) : undefined,
  };
}
