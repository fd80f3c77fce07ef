import { writeSync } from "node:fs";
import { createLogger } from "../../src/app/logger.ts";
import { start } from "../../src/app/start.ts";
import type { Boundary } from "../../src/billing/boundaries.ts";
import { loadConfig } from "../../src/config/config.ts";

/**
 * The real program, that dies like by `kill -9` when at each side of a boundary in `KILL_AT`, a list as in
 * `call-execute:before,call-execute:after`, an attempt stands. The first that comes there stays; the others
 * go on. `STRIPE_AT` is where it finds the tests' Stripe, as host and port.
 */
const empty = new Set(process.env.KILL_AT?.split(","));

function holdThere(boundary: Boundary, moment: "before" | "after"): Promise<never> | undefined {
  if (!empty.delete(`${boundary}:${moment}`)) return undefined;
  writeSync(1, `one stands at ${boundary}:${moment}\n`);
  if (empty.size === 0) process.kill(process.pid, "SIGKILL");
  return new Promise(() => {});
}

const [host = "", port] = process.env.STRIPE_AT?.split(":") ?? [];
const stripeAt = port === undefined ? undefined : { host, port: Number(port), protocol: "http" as const };

const part = process.argv[2];
const parts = { serve: part !== "work", work: part !== "serve" };
await start(loadConfig(), parts, createLogger("warn"), { boundaries: holdThere, stripeAt });
