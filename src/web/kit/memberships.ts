import { Problem } from "../../lib/problems.ts";
import type { Human } from "../../sign-in/gate.ts";

type Membership = Human["memberships"][number];

/**
 * The person's own account of that id.
 * @throws Problem not_found
 */
export function accountOf(human: Human, accountId: string): Membership {
  const found = human.memberships.find((membership) => membership.accountId === accountId);
  if (found === undefined) throw new Problem("not_found", { resource: "accounts" });
  return found;
}

/** Whether they may look after what the account's agents use: owners and approvers. */
export function manages({ role }: Membership): boolean {
  return role !== "viewer";
}
