import { coversScope, type Scope } from "./scopes.ts";

/** What each scope lets a program do, for the person who gives it; those that matter most first. */
export const SCOPE_WORDS: Record<Scope, string> = {
  "payments:read": "See contracts, milestones, approvals and payments",
  "payments:write":
    "Ask for payments: add milestones, and ask for them to be funded. A person still confirms each",
  "webhooks:manage": "Manage webhooks: have events sent to addresses that it names",
  "jobs:read": "See jobs",
  "jobs:write": "Write jobs",
  "proposals:read": "See proposals",
  "proposals:write": "Answer proposals",
  "messages:read": "Read messages",
  "messages:write": "Write messages",
  "team:read": "See the team",
  "team:write": "Change the team",
};

const OTHERS = ["jobs", "proposals", "messages", "team"] as const;
const LIST = new Intl.ListFormat("en-GB", { type: "conjunction" });

/** What a program with these scopes may do, as a part of a sentence: `ask for payments and see jobs`. */
export function describeScopes(scopes: readonly string[]): string {
  const writes = OTHERS.filter((resource) => coversScope(scopes, `${resource}:write`));
  const reads = OTHERS.filter(
    (resource) => !writes.includes(resource) && coversScope(scopes, `${resource}:read`),
  );
  const powers = [
    coversScope(scopes, "payments:write")
      ? "ask for payments"
      : coversScope(scopes, "payments:read") && "see payments",
    coversScope(scopes, "webhooks:manage") && "manage webhooks",
    writes.length > 0 && `write ${LIST.format(writes)}`,
    reads.length > 0 && `see ${LIST.format(reads)}`,
  ].filter((power) => power !== false);
  return powers.length === 0 ? "only say whose it is" : LIST.format(powers);
}
