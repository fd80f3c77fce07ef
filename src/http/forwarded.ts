import type { FastifyRequest } from "fastify";
import type { Logger } from "pino";
import { withoutPort } from "../lib/addresses.ts";
import { MINUTE } from "../lib/time.ts";

const LOG_EVERY = MINUTE;
const FORWARDED = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];

const IGNORED =
  "Forwarding headers arrived while TRUST_PROXY is 0: they are ignored, and all callers behind that proxy share its " +
  "address and its limits. Set TRUST_PROXY to the number of proxies in front, or to their addresses.";

/**
 * Removes the port that some proxies write into `X-Forwarded-For` (`203.0.113.9:51234`). Logs such headers, once a minute,
 * if no proxy is trusted.
 * @returns a hook, to run before the address is read
 */
export function readForwarded(
  log: Logger,
  { trusted }: { trusted: boolean },
): (request: FastifyRequest, now?: number) => void {
  let quietUntil = 0;
  return ({ headers, socket }, now = Date.now()) => {
    if (trusted) {
      const given = headers["x-forwarded-for"];
      if (given !== undefined)
        headers["x-forwarded-for"] = String(given).split(",").map(withoutPort).join(", ");
      return;
    }
    if (now < quietUntil || !FORWARDED.some((name) => headers[name] !== undefined)) return;
    quietUntil = now + LOG_EVERY;
    log.warn({ peer: socket.remoteAddress }, IGNORED);
  };
}
