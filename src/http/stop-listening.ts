import type { Server } from "node:http";
import { setImmediate as immediate } from "node:timers/promises";

/** A turn of the event loop that took less, in milliseconds, had next to nothing to do. */
const SHORT_TURN = 0.5;
const QUIET_TURNS = 2;
/** Under a load that leaves no such turn, after so many. */
const TURNS_AT_MOST = 5_000;

/**
 * Stops listening, and resolves once every connection has ended. The kernel resets connections that it has accepted and the
 * process has not taken yet: a proxy that does not look at `/readyz` opens some until the last moment. So this waits for a
 * short turn of the event loop in which none was there to be taken.
 */
export async function stopListening(server: Server): Promise<void> {
  if (!server.listening) return;
  let taken = 0;
  server.on("connection", () => {
    taken += 1;
  });
  // The first turn may have begun before this was called.
  for (let turn = 0, quiet = 0; turn < TURNS_AT_MOST && quiet < QUIET_TURNS; turn++) {
    const before = taken;
    const began = performance.now();
    await immediate();
    quiet = taken === before && performance.now() - began < SHORT_TURN ? quiet + 1 : 0;
  }
  // In the same turn: nothing arrives between.
  await new Promise<void>((resolve) => server.close(() => resolve()));
}
