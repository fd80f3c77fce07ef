import type { TokenAccess } from "../http/access.ts";
import { Problem } from "../lib/problems.ts";
import { coversScope, SCOPES } from "../lib/scopes.ts";
import type { Grant } from "./store.ts";

const CLAIM_FIRST =
  "This token lacks a scope that the call needs. A human must claim this account first: send them to `details.claimUrl`.";

/**
 * Checks frozen, scope, feature and claim, in this order (docs/contract.md §0, §8). Any one of several scopes is enough.
 * @throws Problem account_frozen | scope_missing | feature_disabled | account_claim_required
 */
export function assertAccess(access: TokenAccess, grant: Grant, publicUrl: string): void {
  const { scopes, feature, claim, asks } = access;
  if (asks && grant.frozen) throw new Problem("account_frozen");
  const claimDetails =
    claim === undefined || grant.claimed
      ? undefined
      : { reason: "account_claim_required", action: claim, claimUrl: `${publicUrl}/claim` };
  if (scopes !== undefined && !scopes.some((scope) => coversScope(grant.scopes, scope))) {
    throw new Problem(
      "scope_missing",
      {
        requiredScopes: scopes,
        grantedScopes: grant.scopes,
        ...(claimDetails ?? { tokensUrl: `${publicUrl}/settings/keys` }),
      },
      claimDetails && CLAIM_FIRST,
    );
  }
  if (feature !== undefined && grant.features[feature] !== true) {
    throw new Problem("feature_disabled", { featureKey: feature });
  }
  if (claimDetails !== undefined) throw new Problem("account_claim_required", claimDetails);
}

/**
 * Asserts that scopes exist, before the schema would refuse the first of them without naming the rest. What is no list of
 * text is left to the schema.
 * @throws Problem bad_request {field: "scopes", unknownScopes, supportedScopes}
 */
export function assertKnownScopes(scopes: unknown): void {
  if (!Array.isArray(scopes)) return;
  const unknownScopes = scopes.filter(
    (scope) => typeof scope === "string" && !SCOPES.some((one) => one === scope),
  );
  if (unknownScopes.length === 0) return;
  throw new Problem(
    "bad_request",
    { field: "scopes", unknownScopes, supportedScopes: SCOPES },
    "There are no such scopes: `details.unknownScopes`. `details.supportedScopes` lists those that there are.",
  );
}

/**
 * Asserts that a token of the same root created the thing (docs/contract.md §0).
 * @param rootId the root of the creating token; null: a person or the operator created it
 * @throws Problem made_by_another_key
 */
export function assertMadeByOwnRoot(
  { rootTokenId }: Pick<Grant, "rootTokenId">,
  rootId: string | null,
): void {
  if (rootId !== rootTokenId) throw new Problem("made_by_another_key");
}
