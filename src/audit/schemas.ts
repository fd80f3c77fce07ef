import { type Static, Type } from "@sinclair/typebox";
import { ref } from "../lib/schema.ts";

/** Every action that an audit entry can name, sorted. A new one is added here first. */
export const AUDIT_ACTIONS = [
  "account_changed",
  "account_claimed",
  "account_created",
  "act_signature_refused",
  "approval_confirmed",
  "approval_declined",
  "approval_requested",
  "approval_withdrawn",
  "card_added",
  "card_removed",
  "change_agreed",
  "change_asked",
  "change_refused",
  "contract_changed",
  "contract_created",
  "contract_ended",
  "credits_adjusted",
  "event_posted",
  "grant_refused",
  "invitation_consented",
  "invitation_refused",
  "invitation_withdrawn",
  "joined_account",
  "key_minted",
  "key_revoked",
  "member_changed",
  "member_invited",
  "member_removed",
  "member_role_changed",
  "member_upgrade_asked",
  "member_upgrade_ended",
  "milestone_cancelled",
  "milestone_changed",
  "milestone_created",
  "operator_webhook_changed",
  "operator_webhook_deleted",
  "operator_webhook_secret_replaced",
  "passkey_added",
  "passkey_consented",
  "passkey_possibly_copied",
  "passkey_removed",
  "passkey_stopped",
  "passkeys_opened",
  "password_changed",
  "password_reset",
  "payments_paused",
  "payments_resumed",
  "payout_account_changed",
  "policy_changed",
  "presence_proved",
  "presence_refused",
  "reset_link_printed",
  "reset_requested",
  "session_copied",
  "sessions_ended",
  "sign_in_refused",
  "signed_in",
  "signed_out",
  "top_up_requested",
  "webhook_added",
  "webhook_deleted",
  "webhook_secret_replaced",
] as const;
export type AuditAction = (typeof AUDIT_ACTIONS)[number];

const Values = Type.Union([Type.Record(Type.String(), Type.Unknown()), Type.Null()]);

/** One entry, as the operator reads it (docs/contract.md §8). */
export const AuditEntry = Type.Object(
  {
    id: Type.String(),
    at: Type.String({ format: "date-time" }),
    action: Type.String({ description: "What was done, such as `key_minted`." }),
    actor: Type.Object({
      kind: Type.Union([
        Type.Literal("person"),
        Type.Literal("token"),
        Type.Literal("operator"),
        Type.Literal("service"),
      ]),
      id: Type.Union([Type.String(), Type.Null()]),
      name: Type.Union([Type.String(), Type.Null()], { description: "As it was then." }),
      rootId: Type.Union([Type.String(), Type.Null()], {
        description: "Of a token: the one that it descends from, itself if nothing minted it.",
      }),
    }),
    subject: Type.Union([Type.Object({ kind: Type.String(), id: Type.String() }), Type.Null()]),
    before: Values,
    after: Values,
    detail: Type.Record(Type.String(), Type.Unknown()),
    address: Type.Union([Type.String(), Type.Null()]),
    requestId: Type.Union([Type.String(), Type.Null()]),
  },
  { $id: "AuditEntry" },
);
export type AuditEntry = Static<typeof AuditEntry>;

export const AuditPage = Type.Object({
  entries: Type.Array(ref(AuditEntry)),
  nextCursor: Type.Union([Type.String(), Type.Null()]),
});

export const AuditQuery = Type.Object({
  cursor: Type.Optional(
    Type.String({ maxLength: 64, description: "The last `nextCursor`; omit it for the newest entries." }),
  ),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200, default: 50 })),
});
