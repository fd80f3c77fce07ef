import { SECOND } from "../lib/time.ts";
import { traced, traceHeaders } from "../metrics/tracing.ts";
import { type Answer, type DeliveryRequest, exchange, guardedLookup, NOT_PUBLIC } from "./exchange-client.ts";
import { createResolver, type Resolve } from "./resolver.ts";
import { checkWebhookUrl, isPublicAddress, mayReach, type TargetRules } from "./target-rules.ts";

/** The outcome of one attempt. */
export type Outcome = {
  /** Whether it was delivered: any 2xx. */
  ok: boolean;
  /** The receiver's status; null: no answer. */
  status: number | null;
  /** Why it was not delivered, for people; null: it was. */
  error: string | null;
  milliseconds: number;
  /** Whether it timed out, before the status or while reading the answer. */
  timedOut: boolean;
};

export type DeliveryClient = {
  /** Makes one attempt, after waiting for one of `maxSockets`. Never rejects. */
  deliver(request: DeliveryRequest, signal?: AbortSignal): Promise<Outcome>;
  /** Aborts the attempts under way, and waits for their end. */
  close(): Promise<void>;
};

/** Replaces DNS, the public internet and the time-out in tests. */
type World = { resolve?: Resolve; isPublic?: (address: string) => boolean; timeout?: number };

const TIMEOUT = 10 * SECOND;
const HEADERS = { "Content-Type": "application/json", "User-Agent": "OpenTrain-Webhooks/1.0" };

/**
 * Creates the client that delivers webhooks (docs/contract.md §3). It connects to public addresses only; the check happens within
 * the connection, so that a name cannot change its address in between. Each attempt has a connection of its own, so it
 * never meets one that the receiver is closing, and there are never more sockets than attempts.
 */
export function createDeliveryClient(
  options: TargetRules & { maxSockets: number },
  { resolve = createResolver(options), isPublic = isPublicAddress, timeout = TIMEOUT }: World = {},
): DeliveryClient {
  const lookup = guardedLookup(resolve, (host, address) => mayReach(host, address, options, isPublic));
  const inTurn = createQueue(options.maxSockets);
  const closing = new AbortController();
  const underWay = new Set<Promise<Outcome>>();

  const attempt = async ({ url, headers, body }: DeliveryRequest, stop: AbortSignal): Promise<Outcome> => {
    const started = performance.now();
    const deadline = AbortSignal.timeout(timeout);
    // The host may have been allowed when the webhook was created, and not any more.
    const answer: Answer =
      checkWebhookUrl(url, options) === undefined
        ? await exchange(
            { url, headers: { ...HEADERS, ...headers, ...traceHeaders() }, body },
            lookup,
            AbortSignal.any([deadline, stop]),
          )
        : { status: null, error: NOT_PUBLIC };
    const ok = answer.status !== null && answer.status >= 200 && answer.status < 300;
    const late = deadline.aborted && answer.status === null;
    return {
      ok,
      status: answer.status,
      error: late ? `timed out after ${timeout / SECOND} s` : (answer.error ?? refusal(answer.status, ok)),
      milliseconds: Math.round(performance.now() - started),
      timedOut: deadline.aborted,
    };
  };

  return {
    async deliver(request, signal) {
      const stop = signal === undefined ? closing.signal : AbortSignal.any([closing.signal, signal]);
      const outcome = inTurn(() => traced("webhook delivery", {}, () => attempt(request, stop)));
      underWay.add(outcome);
      return await outcome.finally(() => underWay.delete(outcome));
    },
    async close() {
      closing.abort();
      await Promise.all(underWay);
    },
  };
}

function refusal(status: number | null, ok: boolean): string | null {
  if (ok || status === null) return null;
  const redirect = status >= 300 && status < 400 ? ", a redirect, which is not followed" : "";
  return `answered ${status}${redirect}`;
}

/** Runs at most `limit` at once; the others wait for their turn. */
function createQueue(limit: number): <T>(run: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = [];
  let free = limit;
  return async (run) => {
    if (free > 0) free -= 1;
    else await new Promise<void>((turn) => waiting.push(turn));
    try {
      return await run();
    } finally {
      const next = waiting.shift();
      if (next === undefined) free += 1;
      else next();
    }
  };
}
