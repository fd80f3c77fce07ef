import type { TokenAccess } from "../http/access.ts";

/** What asking for a milestone's funding takes, by whatever way an agent asks (CONTRACT.md §1). */
export const FUNDING_ACCESS = {
  by: "token",
  scopes: ["payments:write"],
  feature: "public_api_payments_write",
  claim: "fund milestones",
  asks: true,
} as const satisfies TokenAccess;

/** What reading an approval takes. Works before the claim. */
export const READING_ACCESS = { by: "token", scopes: ["payments:read"] } as const satisfies TokenAccess;
