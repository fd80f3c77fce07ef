import { addressBucket } from "../lib/addresses.ts";
import { Problem } from "../lib/problems.ts";
import { countRateLimited } from "../metrics/metrics.ts";
import type { Allowance, RateLimits } from "./token-rate-limit.ts";

/** Failed look-ups per address and minute, of each kind. */
export const FAILED_LOOKUPS_PER_MINUTE = 120;

/** A look-up of a presented credential. Kinds are counted separately. */
export type Lookup = { kind: "token" | "agent-auth" | "link"; address: string; digest: Buffer };

/**
 * Whether a credential may be looked up: the address has had fewer than 120 failed look-ups in this minute, or the
 * credential was accepted within the last hour, so that failures behind one address do not lock out a known neighbour.
 * @returns the limit to report, if it refuses
 */
export function refusedLookup(
  limits: RateLimits,
  { kind, address, digest }: Lookup,
): (Allowance & { problem: Problem }) | undefined {
  const allowance = limits.look(bucketOf(kind, address), FAILED_LOOKUPS_PER_MINUTE);
  if (allowance.allowed || limits.known.has(digest)) return undefined;
  countRateLimited(`${kind}-lookups`);
  const { resetSeconds } = allowance;
  return { ...allowance, problem: new Problem("rate_limited", { retryAfterSeconds: resetSeconds }) };
}

/** Records the result of a look-up: a valid credential is known for an hour, a failure is counted. */
export function noteLookup(limits: RateLimits, { kind, address, digest }: Lookup, found: boolean): void {
  if (found) {
    limits.known.accept(digest);
    return;
  }
  limits.known.reject(digest);
  limits.hit(bucketOf(kind, address), FAILED_LOOKUPS_PER_MINUTE);
}

/** The look-ups of one kind, for a feature whose services know nothing of HTTP. */
export function openLookups(limits: RateLimits, kind: Lookup["kind"]) {
  return {
    /**
     * Looks up a presented credential, if that is allowed.
     * @throws Problem rate_limited {retryAfterSeconds}
     */
    async find<T>(
      { digest }: { digest: Buffer },
      address: string,
      read: () => Promise<T | undefined>,
    ): Promise<T | undefined> {
      const lookup = { kind, address, digest };
      const refused = refusedLookup(limits, lookup);
      if (refused !== undefined) throw refused.problem;
      const found = await read();
      noteLookup(limits, lookup, found !== undefined);
      return found;
    },
    /** Records a credential that was just issued, so that a neighbour's failures do not block its first use. */
    accept: ({ digest }: { digest: Buffer }) => limits.known.accept(digest),
    /** Records that a credential was just revoked. */
    reject: ({ digest }: { digest: Buffer }) => limits.known.reject(digest),
  };
}

function bucketOf(kind: Lookup["kind"], address: string): string {
  return `${kind}-lookups:${addressBucket(address)}`;
}
