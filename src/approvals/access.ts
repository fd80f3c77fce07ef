import type { TokenAccess } from "../http/access.ts";

/** What asking for a milestone's funding takes, by whatever way an agent asks (CONTRACT.md §1). */
export const FUNDING_ACCESS = {
  by: "token",
  scopes: ["payments:write"],
  feature: "public_api_payments_write",
  claim: "fund milestones",
  asks: true,
} as const satisfies TokenAccess;

/** What asking for a release takes. */
export const RELEASE_ACCESS = {
  ...FUNDING_ACCESS,
  claim: "release milestones",
} as const satisfies TokenAccess;

/** What ending a contract takes, at once or by an approval. */
export const END_ACCESS = { ...FUNDING_ACCESS, claim: "end contracts" } as const satisfies TokenAccess;

/** What withdrawing a request takes. A frozen account may. */
export const WITHDRAW_ACCESS = { by: "token", scopes: ["payments:write"] } as const satisfies TokenAccess;

/** What reading an approval takes. Works before the claim. */
export const READING_ACCESS = { by: "token", scopes: ["payments:read"] } as const satisfies TokenAccess;
