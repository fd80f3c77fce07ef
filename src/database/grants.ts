import { sql } from "kysely";
import type { Db } from "./connection.ts";
import type { Database } from "./schema.ts";
import { inTransaction } from "./transaction.ts";

/** The role that the service runs as, or that its role is a member of; `roles.sql` makes it. */
export const RUNNING_ROLE = "countersign_app";

/** Proof: what is written stays as it is. */
const PROOF = ["select", "insert"] as const;
/** Books and what they refer to: rows change, in the ways that triggers allow, and none goes. */
const KEPT = ["select", "insert", "update"] as const;
/** What the service forgets or replaces. */
const FORGOTTEN = ["select", "insert", "update", "delete"] as const;

export type Privilege = (typeof FORGOTTEN)[number];

/** Tables that no statement of Kysely's names. */
type Unnamed = "kysely_migration" | "kysely_migration_lock" | "auth.attempts";

/**
 * What the running role may do with each table, and nothing else: no DDL, no TRUNCATE, and DELETE only on what is
 * forgotten. So the triggers that keep the books hold against the service itself. A locking read (`for share`)
 * needs UPDATE; checks of foreign keys and what they cascade to need nothing, as they run as the owner.
 */
export const GRANTS: Record<keyof Database | Unnamed, readonly Privilege[]> = {
  kysely_migration: ["select"],
  kysely_migration_lock: ["select"],
  // An unclaimed account is removed while nothing refers to it.
  accounts: FORGOTTEN,
  account_heads: FORGOTTEN,
  members: KEPT,
  invitations: FORGOTTEN,
  member_upgrades: KEPT,
  pending_changes: KEPT,
  tokens: FORGOTTEN,
  token_acts: FORGOTTEN,
  agent_registrations: FORGOTTEN,
  claim_attempts: FORGOTTEN,
  idempotency_keys: FORGOTTEN,
  payment_methods: KEPT,
  contracts: KEPT,
  milestones: KEPT,
  executing_milestones: FORGOTTEN,
  approvals: KEPT,
  co_sign_challenges: FORGOTTEN,
  signatures: PROOF,
  payment_signatures: PROOF,
  // A feed forgets its oldest events; none changes.
  events: ["select", "insert", "delete"],
  webhooks: FORGOTTEN,
  webhook_deliveries: FORGOTTEN,
  operator_outbox: FORGOTTEN,
  operator_events: ["select", "insert", "delete"],
  operator_head: ["select", "update"],
  operator_webhook: FORGOTTEN,
  rate_windows: FORGOTTEN,
  payment_pause: ["select", "update"],
  known_credentials: FORGOTTEN,
  processor: ["select", "update"],
  processor_customers: FORGOTTEN,
  processor_events: FORGOTTEN,
  payments: KEPT,
  lost_intents: FORGOTTEN,
  processor_search: ["select", "update"],
  reversals: KEPT,
  invoices: KEPT,
  refunds: PROOF,
  ledger_entries: PROOF,
  credit_entries: PROOF,
  credit_balances: KEPT,
  credit_signatures: PROOF,
  top_ups: KEPT,
  receipts: PROOF,
  "sandbox.payment_methods": KEPT,
  "sandbox.intents": KEPT,
  "sandbox.charges": KEPT,
  "sandbox.checkout_sessions": KEPT,
  "sandbox.transfers": KEPT,
  "sandbox.refunds": KEPT,
  audit_entries: PROOF,
  sweeps: KEPT,
  write_probes: KEPT,
  mails: FORGOTTEN,
  "auth.users": KEPT,
  "auth.sessions": FORGOTTEN,
  "auth.passwords": KEPT,
  "auth.passkeys": FORGOTTEN,
  "auth.passkey_consents": FORGOTTEN,
  "auth.answered_challenges": FORGOTTEN,
  "auth.resets": FORGOTTEN,
  "auth.attempts": FORGOTTEN,
};

/** Any number: one process at a time, as Postgres fails two that change the rights of one table at once. */
const GRANTING = 1_129_270_868;

/**
 * Gives the running role exactly these rights, where there is such a role and it is not the one that migrates: with
 * one role for both, the owner needs none.
 * @param db connected as the owner of the tables
 */
export async function grantToRunningRole(db: Db): Promise<void> {
  const { rows } = await sql<{ found: boolean }>`
    select exists (select from pg_roles where rolname = ${RUNNING_ROLE} and rolname <> current_user) as found`.execute(
    db,
  );
  if (rows[0]?.found !== true) return;
  const role = sql.id(RUNNING_ROLE);
  await inTransaction(db, async (trx) => {
    await sql`select pg_advisory_xact_lock(${GRANTING})`.execute(trx);
    await sql`grant usage on schema public, auth, sandbox to ${role}`.execute(trx);
    await sql`grant usage on sequence operator_positions to ${role}`.execute(trx);
    for (const [table, privileges] of Object.entries(GRANTS)) {
      await sql`revoke all on ${sql.table(table)} from ${role}`.execute(trx);
      await sql`grant ${sql.raw(privileges.join(", "))} on ${sql.table(table)} to ${role}`.execute(trx);
    }
  });
}
