import { may } from "../../accounts/roles.ts";
import { Problem } from "../../lib/problems.ts";
import type { Human } from "../../sign-in/gate.ts";

export type Membership = Human["memberships"][number];

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
  return may(role, "decide");
}

/**
 * The person's own account of that id, which they manage.
 * @throws Problem not_found, not_permitted for a viewer
 */
export function managedBy(human: Human, accountId: string): Membership {
  const account = accountOf(human, accountId);
  if (!manages(account)) throw new Problem("not_permitted");
  return account;
}

/**
 * The person's own account of that id, which they own.
 * @throws Problem not_found, not_permitted for all but its owners
 */
export function ownedBy(human: Human, accountId: string): Membership {
  const account = accountOf(human, accountId);
  if (!may(account.role, "own")) throw new Problem("not_permitted");
  return account;
}
