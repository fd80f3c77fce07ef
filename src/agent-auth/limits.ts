import { hash } from "node:crypto";
import type { Db } from "../database/connection.ts";
import { exactLimit } from "../database/exact-limits.ts";
import { addressBucket } from "../lib/addresses.ts";

const HOUR = 60 * 60;
export const REGISTRATIONS_PER_ADDRESS = 20;
/** From all addresses, of which whoever has a /48 has 65,536: each is an account that is kept for two days. */
export const REGISTRATIONS_IN_ALL = 1_000;
export const CLAIMS_PER_ADDRESS = 20;
export const CLAIMS_PER_EMAIL = 5;
export const CODES_PER_ADDRESS = 20;
const CODES_SECONDS = 15 * 60;

export type AgentLimits = ReturnType<typeof createAgentLimits>;

/**
 * What strangers may do here, exactly, in Postgres (CONTRACT.md §0): register accounts, have people mailed, guess
 * codes. Each throws Problem rate_limited {retryAfterSeconds}.
 */
export function createAgentLimits(db: Db) {
  const limit = (name: string, points: number, seconds = HOUR) => exactLimit(db, { name, points, seconds });
  const registrations = limit("register", REGISTRATIONS_PER_ADDRESS);
  const allRegistrations = limit("register-all", REGISTRATIONS_IN_ALL);
  const claims = limit("claim", CLAIMS_PER_ADDRESS);
  const mails = limit("claim-mail", CLAIMS_PER_EMAIL);
  const codes = limit("claim-code", CODES_PER_ADDRESS, CODES_SECONDS);
  return {
    /** Whoever is over their address's limit uses up nobody else's. */
    countRegistration: async (address: string) => {
      await registrations.count(addressBucket(address));
      await allRegistrations.count("all");
    },
    countClaim: (address: string) => claims.count(addressBucket(address)),
    /** However many agents name that person. */
    countMail: (email: string) => mails.count(hash("sha256", email, "base64url")),
    countCode: (address: string) => codes.count(addressBucket(address)),
  };
}
