import { type Kysely, sql } from "kysely";

/** Receipts: the outcome of each confirmed or declined approval, linked into one chain for each account. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  // `digest` is over the exact text of `body`. Each link refers to the one before by index and digest, so the chain has
  // no gap and no fork. Indexes jump where links may have been lost (`account_heads.run`).
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
  `create trigger receipts_kept before update or delete on receipts
    for each row execute function refuse_change()`,
  // Row triggers do not fire on TRUNCATE.
  `create trigger receipts_emptied before truncate on receipts
    for each statement execute function refuse_change()`,
];
