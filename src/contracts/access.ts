import type { TokenAccess } from "../http/access.ts";

/** What reading contracts takes (CONTRACT.md §4). Works before the claim. */
export const CONTRACTS_ACCESS = { by: "token", scopes: ["payments:read"] } as const satisfies TokenAccess;

/** What adding a milestone takes. */
export const MILESTONES_ACCESS = {
  by: "token",
  scopes: ["payments:write"],
  feature: "public_api_payments_write",
  claim: "create milestones",
  asks: true,
} as const satisfies TokenAccess;
