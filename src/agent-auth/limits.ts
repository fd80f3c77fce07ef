import { hash } from "node:crypto";
import type { Db } from "../database/connection.ts";
import { type ExactLimit, exactLimit } from "../database/exact-limits.ts";
import { addressBucket, networkBucket } from "../lib/addresses.ts";
import { DAY_SECONDS, HOUR_SECONDS, MINUTE_SECONDS } from "../lib/time.ts";

const CODES_SECONDS = 15 * MINUTE_SECONDS;
const CLAIM_WINDOW = DAY_SECONDS;
export const REGISTRATIONS_PER_ADDRESS = 20;
export const NAMINGS_PER_REGISTRATION = 5;
export const NAMINGS_PER_ADDRESS = 20;
export const NAMINGS_PER_EMAIL = 5;
export const CODES_PER_ADDRESS = 20;

/**
 * Limits unauthenticated calls by address, by network and in total. A network's first few calls count against a total of
 * their own: networks that use up the other total lock out each other, not a network with few calls. The totals have short
 * windows. A call that an earlier limit refuses does not count against a later one.
 */
type FairBound = {
  name: string;
  address: number;
  network: number;
  /** Calls per hour of one network that do not count against the shared total. */
  first: number;
  /** The further calls of all networks together, in a window. */
  shared: number;
  /** The first calls of all networks together, in a window. */
  newcomers: number;
};

const SHARED_WINDOW = 10 * MINUTE_SECONDS;
/** Each creates an account that is kept for two days. */
const REGISTRATIONS = {
  name: "register",
  address: REGISTRATIONS_PER_ADDRESS,
  network: 40,
  first: 5,
  shared: 150,
  newcomers: 1_000,
};
/** Each sends an unsolicited mail. */
const NAMINGS = {
  name: "claim",
  address: NAMINGS_PER_ADDRESS,
  network: 40,
  first: 5,
  shared: 25,
  newcomers: 75,
};

export type AgentLimits = ReturnType<typeof createAgentLimits>;

/**
 * Limits for registering accounts, sending claim mails and guessing codes, counted exactly in Postgres (docs/contract.md §0).
 * Each throws Problem rate_limited {retryAfterSeconds}.
 */
export function createAgentLimits(db: Db) {
  const limit = (name: string, points: number, seconds = HOUR_SECONDS) =>
    exactLimit(db, { name, points, seconds });
  const registrations = fairBound(REGISTRATIONS, limit);
  const namings = fairBound(NAMINGS, limit);
  const namingsOfOne = limit("claim-account", NAMINGS_PER_REGISTRATION, CLAIM_WINDOW);
  const mails = limit("claim-mail", NAMINGS_PER_EMAIL);
  const codes = limit("claim-code", CODES_PER_ADDRESS, CODES_SECONDS);
  return {
    countRegistration: (address: string) => registrations(address),
    /** Limits claim mails by recipient, by agent and in total. */
    countNaming: async (naming: { accountId: string; address: string; email: string }) => {
      await namingsOfOne.count(naming.accountId);
      try {
        await namings(naming.address);
        await mails.count(hash("sha256", naming.email, "base64url"));
      } catch (error) {
        // No mail was sent, and other callers may have used up those limits.
        await namingsOfOne.giveBack(naming.accountId);
        throw error;
      }
    },
    countCode: async (address: string) => void (await codes.count(addressBucket(address))),
  };
}

function fairBound(
  { name, address, network, first, shared, newcomers }: FairBound,
  limit: (name: string, points: number, seconds?: number) => ExactLimit,
): (address: string) => Promise<void> {
  const ofAddress = limit(name, address);
  const ofNetwork = limit(`${name}-network`, network);
  const ofAll = limit(`${name}-shared`, shared, SHARED_WINDOW);
  const ofNewcomers = limit(`${name}-newcomers`, newcomers, SHARED_WINDOW);
  return async (caller) => {
    await ofAddress.count(addressBucket(caller));
    const used = await ofNetwork.count(networkBucket(caller));
    await (used > first ? ofAll : ofNewcomers).count("all");
  };
}
