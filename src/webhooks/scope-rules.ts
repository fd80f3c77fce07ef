import { type AccountEventType, EVENT_SCOPES } from "../events/schemas.ts";
import { Problem } from "../lib/problems.ts";
import { coversScope } from "../lib/scopes.ts";

/** The caller and its scopes: a token, or a member, who may read everything in the account. */
export type Reader = { accountId: string; scopes: readonly string[] };

/**
 * The second half of the scopes of docs/contract.md §3. A caller that would receive events by a webhook, or a secret to sign
 * them, needs the scopes to read its event types. Listing and deleting webhooks needs `webhooks:manage` alone: that shows
 * where events go, not their content.
 * @throws Problem scope_missing
 */
export function assertMayRead({ scopes }: Reader, eventTypes: readonly string[], publicUrl: string): void {
  const requiredScopes = [...new Set(eventTypes.map((type) => EVENT_SCOPES[type as AccountEventType]))];
  if (requiredScopes.every((scope) => coversScope(scopes, scope))) return;
  const tokensUrl = `${publicUrl}/settings/keys`;
  throw new Problem(
    "scope_missing",
    { requiredScopes, grantedScopes: scopes, tokensUrl },
    "The token needs the scope to read each of the webhook's event types: all of `details.requiredScopes`.",
  );
}
