import type { MemberRole } from "../database/schema.ts";

/**
 * Which roles may do what (docs/contract.md §8). Allow-lists: a new role may do nothing until it is listed
 * here.
 */
export const ROLES = {
  /** See the account, its approvals, its members and its spending. */
  read: ["owner", "approver", "viewer"],
  /** Confirm and decline approvals; manage cards, API keys and webhooks. */
  decide: ["owner", "approver"],
  /** Invite, change and remove members; consent to members and passkeys. */
  own: ["owner"],
} as const satisfies Record<string, readonly MemberRole[]>;

export type Permission = keyof typeof ROLES;
export type DecidingRole = (typeof ROLES.decide)[number];

const PERMISSIONS = Object.keys(ROLES) as Permission[];

export function may(role: MemberRole, permission: Permission): boolean {
  return ROLES[permission].some((allowed) => allowed === role);
}

export function mayDecide(role: MemberRole): role is DecidingRole {
  return may(role, "decide");
}

/** Whether `to` may do anything that `from` may not. */
export function raisesRights(from: MemberRole, to: MemberRole): boolean {
  return PERMISSIONS.some((permission) => may(to, permission) && !may(from, permission));
}
