import { hash, randomInt, timingSafeEqual } from "node:crypto";
import { readSecret } from "../lib/secrets.ts";
import { addSeconds, HOUR_SECONDS } from "../lib/time.ts";
import { type RegistrationRow, WRONG_CODES_AT_MOST } from "./store.ts";

/** The agent's own secret, the one that it shows to its human, and the one in the mail. */
export const CLAIM_PREFIX = "ot_clm_";
export const PAGE_PREFIX = "ot_cat_";
export const LINK_PREFIX = "ot_clk_";

const CODES = 1_000_000;
const DIGITS = 6;

/** Whether it has the form of a secret that opens the claim page. */
export function isClaimSecret(value: string): boolean {
  return [PAGE_PREFIX, LINK_PREFIX].some((prefix) => readSecret(prefix, value) !== undefined);
}

/** A claim's state at `now`. `taken`: the account got an owner another way. */
export type ClaimState = "unnamed" | "open" | "guessed" | "expired" | "window_over" | "claimed" | "taken";

/** The state of a registration's claim: a pure function of its row. */
export function claimState(row: RegistrationRow, now: Date): ClaimState {
  if (row.claimedAt !== null) return "claimed";
  if (row.accountClaimedAt !== null) return "taken";
  if (row.expiresAt <= now) return "window_over";
  if (row.attemptExpiresAt === null) return "unnamed";
  if ((row.wrongCodes ?? 0) >= WRONG_CODES_AT_MOST) return "guessed";
  return row.attemptExpiresAt <= now ? "expired" : "open";
}

/** How long the agent can fetch its token after the claim, at least. */
const DELIVERY_SECONDS = HOUR_SECONDS;

/** Until when the agent can fetch its token; `undefined`: there is none, or it was fetched. */
export function fetchableUntil({ claimedAt, deliveredAt, expiresAt }: RegistrationRow): Date | undefined {
  if (claimedAt === null || deliveredAt !== null) return undefined;
  const atLeast = addSeconds(claimedAt, DELIVERY_SECONDS);
  return atLeast > expiresAt ? atLeast : expiresAt;
}

/** Whether a human has refused the token: a refusal empties its scopes, which no claim does. */
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
