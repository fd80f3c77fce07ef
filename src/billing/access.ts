import type { TokenAccess } from "../http/access.ts";

/** What reading credits takes (CONTRACT.md §5). Works before the claim. */
export const CREDITS_ACCESS = {
  by: "token",
  scopes: ["payments:read"],
  feature: "public_api_credits",
} as const satisfies TokenAccess;

/** What asking for a top-up takes. */
export const TOP_UPS_ACCESS = {
  by: "token",
  scopes: ["payments:write"],
  feature: "public_api_credits",
  claim: "add credits",
  asks: true,
} as const satisfies TokenAccess;

/** What reading the pending payments takes. Works before the claim. */
export const PENDING_ACCESS = { by: "token", scopes: ["payments:read"] } as const satisfies TokenAccess;
