import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { openSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { guard } from "../support/guard.ts";
import type { Tally } from "./dice.ts";

const MAIN = join(import.meta.dirname, "../../src/main.ts");
const START_AGAIN_AFTER = 300;

/** An instance of the service that is started again whenever it has ended, as a supervisor does. */
export type Instance = {
  origin: string;
  /** SIGKILL. */
  kill(): void;
  /** SIGSTOP, and SIGCONT after so many milliseconds: as when a machine is suspended. */
  suspend(milliseconds: number): Promise<void>;
  isReady(): Promise<boolean>;
  stop(): Promise<void>;
};

/**
 * Runs `node src/main.ts start`, or `main` in its stead, on a port, with what it prints in `log`. An end that nobody asked for, after it
 * was ready, is counted: it has to outlive its database.
 */
export function keepInstance(
  port: number,
  env: Record<string, string>,
  log: string,
  tally: Tally,
  main = MAIN,
): Instance {
  const origin = `http://127.0.0.1:${port}`;
  const file = openSync(log, "a");
  let wanted = true;
  let asked = false;
  let ready = false;
  let child: ChildProcess | undefined;

  const kept = (async () => {
    while (wanted) {
      [asked, ready] = [false, false];
      child = spawn(process.execPath, [main, "start"], {
        env: { PATH: process.env.PATH, ...env, PORT: String(port) },
        stdio: ["ignore", file, file],
      });
      const letGo = guard(child.pid ?? 0);
      await once(child, "exit");
      letGo();
      tally.add(asked ? "service killed" : ready ? "service ended by itself" : "service could not start yet");
      if (wanted) await delay(START_AGAIN_AFTER);
    }
  })();

  return {
    origin,
    kill() {
      asked = true;
      child?.kill("SIGKILL");
    },
    async suspend(milliseconds) {
      const stopped = child;
      stopped?.kill("SIGSTOP");
      await delay(milliseconds);
      stopped?.kill("SIGCONT");
    },
    async isReady() {
      const answer = await fetch(`${origin}/readyz`, { signal: AbortSignal.timeout(2_000) }).catch(() => {});
      const is = answer?.status === 200;
      ready ||= is;
      return is;
    },
    async stop() {
      [wanted, asked] = [false, true];
      child?.kill("SIGTERM");
      await kept;
    },
  };
}
