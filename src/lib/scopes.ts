const RESOURCES = ["jobs", "proposals", "messages", "payments", "team"] as const;

export type Scope = `${(typeof RESOURCES)[number]}:${"read" | "write"}` | "webhooks:manage";
/** The features that gate something here; others are stored and reported only. */
export const FEATURE_KEYS = [
  "public_api_payments_write",
  "public_api_credits",
  "public_api_webhooks",
] as const;
export type FeatureKey = (typeof FEATURE_KEYS)[number];

/** Every scope there is (docs/contract.md §0). */
export const SCOPES: readonly Scope[] = [
  ...RESOURCES.flatMap((resource): Scope[] => [`${resource}:read`, `${resource}:write`]),
  "webhooks:manage",
];

/** Whether `granted` covers `needed`: itself, or the `:write` that implies a `:read`. */
export function coversScope(granted: readonly string[], needed: Scope): boolean {
  return (
    granted.includes(needed) ||
    (needed.endsWith(":read") && granted.includes(needed.replace(/read$/, "write")))
  );
}
