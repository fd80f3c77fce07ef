import { hash, randomInt, timingSafeEqual } from "node:crypto";
import { addSeconds, HOUR_SECONDS } from "../lib/time.ts";
import { type RegistrationRow, WRONG_CODES_AT_MOST } from "./store.ts";

/** What the agent keeps to itself, what it shows to its human, and what only the mail holds. */
export const CLAIM_PREFIX = "ot_clm_";
export const PAGE_PREFIX = "ot_cat_";
export const LINK_PREFIX = "ot_clk_";

const CODES = 1_000_000;
const DIGITS = 6;

/** Where a claim stands at `now`. `taken`: the account has an owner who came another way. */
export type ClaimState = "unnamed" | "open" | "guessed" | "expired" | "window_over" | "claimed" | "taken";

/** Where the claim of a registration stands: a pure function of its row. */
export function claimState(row: RegistrationRow, now: Date): ClaimState {
  if (row.claimedAt !== null) return "claimed";
  if (row.accountClaimedAt !== null) return "taken";
  if (row.expiresAt <= now) return "window_over";
  if (row.attemptExpiresAt === null) return "unnamed";
  if ((row.wrongCodes ?? 0) >= WRONG_CODES_AT_MOST) return "guessed";
  return row.attemptExpiresAt <= now ? "expired" : "open";
}

/** After the claim, how long its token waits for the agent at least. */
const DELIVERY_SECONDS = HOUR_SECONDS;

/** Until when the agent may fetch the token that a claim brought; `undefined`: there is none, or it has been. */
export function fetchableUntil({ claimedAt, deliveredAt, expiresAt }: RegistrationRow): Date | undefined {
  if (claimedAt === null || deliveredAt !== null) return undefined;
  const atLeast = addSeconds(claimedAt, DELIVERY_SECONDS);
  return atLeast > expiresAt ? atLeast : expiresAt;
}

/** Whether a human has refused that token since: no claim lets an agent do nothing at all. */
export function isRefused({ scopes }: RegistrationRow): boolean {
  return scopes?.length === 0;
}

/** The six digits that an agent shows to its human. */
export function newUserCode(): string {
  return String(randomInt(CODES)).padStart(DIGITS, "0");
}

/** A digest of the code. Checking a guess needs the mailed secret, too. */
export function codeDigest(secret: string, code: string): Buffer {
  return hash("sha256", `${secret} ${code}`, "buffer");
}

export function isCode(secret: string, code: string, digest: Buffer | null): boolean {
  return digest !== null && timingSafeEqual(codeDigest(secret, code), digest);
}
