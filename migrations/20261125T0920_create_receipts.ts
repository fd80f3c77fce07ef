import { type Kysely, sql } from "kysely";

/**
 * Receipts: what each confirmed or declined approval came to, linked into one chain per account; and everything
 * that proves something refuses to be changed, removed or emptied. What was decided before has no receipt.
 * Frozen: what has run somewhere is never edited; the next change is a new file.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of [...receipts, ...guards]) await sql.raw(statement).execute(db);
}

// `body` is the very text that `digest` is over. The chain has no gap and no fork: each link refers to the one before
// it, by its index and its digest. Indexes jump where links that were given may have been lost (`account_heads.run`).
const receipts = [
  `create table receipts (
    account_id uuid not null,
    chain_index bigint not null check (chain_index >= 1),
    approval_id uuid not null,
    previous_index bigint,
    previous_digest bytea not null check (octet_length(previous_digest) = 32),
    digest bytea not null,
    body text not null,
    created_at timestamptz not null,
    primary key (account_id, chain_index),
    unique (account_id, approval_id),
    unique (account_id, chain_index, digest),
    foreign key (account_id, approval_id) references approvals (account_id, id),
    foreign key (account_id, previous_index, previous_digest) references receipts (account_id, chain_index, digest),
    unique nulls not distinct (account_id, previous_index),
    check (digest = sha256(convert_to(body, 'UTF8'))),
    check ((previous_index is null) = (previous_digest = decode(repeat('00', 32), 'hex'))),
    check (chain_index - coalesce(previous_index, 0) = 1 or chain_index - coalesce(previous_index, 0) > 1000000000)
  )`,
  // What was booked for a payment, without reading all that the account ever booked.
  `create index ledger_of_payment on ledger_entries (account_id, payment_id)`,
  // Since when every decision is linked, for whoever audits.
  `alter table processor add column receipts_since timestamptz not null default now()`,
];

const guards = [
  `create trigger receipts_kept before update or delete on receipts
    for each row execute function refuse_change()`,
  // The head of a chain only ever goes on to the next link, beyond all that may have been lost.
  `create trigger account_heads_chain before update on account_heads
    for each row when (
      (old.chain_index, old.chain_digest) is distinct from (new.chain_index, new.chain_digest)
      and new.chain_index <> greatest(old.chain_index, old.chain_floor) + 1
    ) execute function refuse_change()`,
  `create trigger account_heads_kept before delete on account_heads
    for each row when (old.chain_index > 0) execute function refuse_change()`,
  // Triggers on rows do not see a TRUNCATE.
  ...[
    "approvals",
    "signatures",
    "payment_signatures",
    "receipts",
    "payments",
    "invoices",
    "refunds",
    "ledger_entries",
    "reversals",
  ].map(
    (table) =>
      `create trigger ${table}_emptied before truncate on ${table}
    for each statement execute function refuse_change()`,
  ),
  `create trigger account_heads_emptied before truncate on account_heads
    for each statement execute function refuse_change()`,
];
