import type { AuditAction } from "../../../audit/schemas.ts";

/** How the page groups what was done, in the order of its filter. */
export const GROUPS = {
  decisions: "Decisions and payments",
  "sign-ins": "Sign-ins and proofs",
  factors: "Passwords and passkeys",
  keys: "API keys",
  members: "Members",
  cards: "Cards",
  webhooks: "Webhooks",
  contracts: "Contracts and milestones",
  account: "Account and service",
} as const;
export type Group = keyof typeof GROUPS;

/** Each action as people read it: its group, and what the actor did. */
export const ACTIONS: Record<AuditAction, readonly [group: Group, did: string]> = {
  account_changed: ["account", "changed the account"],
  account_claimed: ["account", "claimed the account"],
  account_created: ["account", "created the account"],
  act_signature_refused: ["sign-ins", "failed to sign a change with a passkey"],
  approval_confirmed: ["decisions", "confirmed an approval"],
  approval_declined: ["decisions", "declined an approval"],
  card_added: ["cards", "added a card"],
  card_removed: ["cards", "removed a card"],
  change_agreed: ["members", "agreed to a change as the second person"],
  change_asked: ["members", "asked for a change that needs a second person"],
  change_refused: ["members", "ended a change that needed a second person"],
  contract_changed: ["contracts", "changed a contract"],
  contract_created: ["contracts", "created a contract"],
  event_posted: ["account", "posted an event"],
  grant_refused: ["keys", "refused the key that an agent had not fetched"],
  invitation_consented: ["members", "agreed to an invitation"],
  invitation_refused: ["members", "refused an invitation"],
  invitation_withdrawn: ["members", "withdrew an invitation"],
  joined_account: ["members", "joined the account"],
  key_minted: ["keys", "created an API key"],
  key_revoked: ["keys", "revoked an API key"],
  member_changed: ["members", "changed a member"],
  member_invited: ["members", "invited a member"],
  member_removed: ["members", "removed a member"],
  member_role_changed: ["members", "changed a member’s role"],
  member_upgrade_asked: ["members", "asked for more rights for a member"],
  member_upgrade_ended: ["members", "ended a request for more rights"],
  milestone_cancelled: ["contracts", "cancelled a milestone"],
  milestone_changed: ["contracts", "changed a milestone"],
  milestone_created: ["contracts", "created a milestone"],
  operator_webhook_changed: ["webhooks", "changed the operator’s webhook"],
  operator_webhook_deleted: ["webhooks", "deleted the operator’s webhook"],
  operator_webhook_secret_replaced: ["webhooks", "replaced the secret of the operator’s webhook"],
  passkey_added: ["factors", "added a passkey"],
  passkey_consented: ["factors", "agreed to a passkey"],
  passkey_possibly_copied: ["factors", "used a passkey that may have been copied"],
  passkey_removed: ["factors", "removed a passkey"],
  passkey_stopped: ["factors", "stopped a passkey"],
  passkeys_opened: ["factors", "opened passkeys for a person"],
  password_changed: ["factors", "changed the password"],
  password_reset: ["factors", "reset the password"],
  payments_paused: ["account", "paused all payments"],
  payments_resumed: ["account", "resumed payments"],
  payout_account_changed: ["contracts", "changed a payee’s payout account"],
  presence_proved: ["sign-ins", "confirmed it was them"],
  presence_refused: ["sign-ins", "failed to confirm it was them"],
  reset_link_printed: ["factors", "printed a password reset link"],
  reset_requested: ["factors", "asked for a password reset"],
  session_copied: ["sign-ins", "ended a session whose cookie may have been copied"],
  sessions_ended: ["sign-ins", "ended other sessions"],
  sign_in_refused: ["sign-ins", "failed to sign in"],
  signed_in: ["sign-ins", "signed in"],
  signed_out: ["sign-ins", "signed out"],
  webhook_added: ["webhooks", "added a webhook"],
  webhook_deleted: ["webhooks", "deleted a webhook"],
  webhook_secret_replaced: ["webhooks", "replaced a webhook’s secret"],
};

/** The actions of a group; `undefined` where the name is no group: everything is listed. */
export function actionsOf(group: string | undefined): AuditAction[] | undefined {
  if (group === undefined || !Object.hasOwn(GROUPS, group)) return undefined;
  return (Object.keys(ACTIONS) as AuditAction[]).filter((action) => ACTIONS[action][0] === group);
}
