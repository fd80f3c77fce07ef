import { type Kysely, sql } from "kysely";

/** The ledger in double entry, and the reversals that begin at the processor: refunds, disputes, returned payouts. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of [...ledger, ...reversals]) await sql.raw(statement).execute(db);
}

const ledger = [
  // A movement is booked for a payment, for a credit entry, or for both.
  `create table ledger_entries (
    account_id uuid not null,
    transaction_id uuid not null,
    line smallint not null check (line >= 1),
    ledger_account text not null,
    amount_cents bigint not null check (amount_cents <> 0),
    currency text not null check (currency = 'usd'),
    payment_id uuid,
    credit_entry_id uuid,
    created_at timestamptz not null,
    primary key (account_id, transaction_id, line),
    foreign key (account_id, payment_id) references payments (account_id, id),
    foreign key (account_id, credit_entry_id) references credit_entries (account_id, id),
    check (num_nonnulls(payment_id, credit_entry_id) >= 1)
  )`,
  `create index ledger_of_account on ledger_entries (account_id, ledger_account)`,
  // Finds what was booked for a payment without reading the whole ledger of the account.
  `create index ledger_of_payment on ledger_entries (account_id, payment_id)`,
  `create index ledger_entries_of_credit on ledger_entries (account_id, credit_entry_id)
    where credit_entry_id is not null`,
  `create function ledger_balances() returns trigger language plpgsql as $$
    declare
      outgoing record;
    begin
      if exists (
        select from added group by account_id, transaction_id, currency having sum(amount_cents) <> 0
      ) then
        raise exception 'the entries of a movement must sum to zero' using errcode = 'check_violation';
      end if;
      -- Invariant 7. What is held for a milestone stands against it: no more goes out than was paid in. One after the other, as
      -- a statement on a distributed table cannot read the added rows.
      for outgoing in
        select distinct account_id, ledger_account from added where ledger_account like 'milestone:%' and amount_cents > 0
      loop
        if (
          select sum(l.amount_cents) from ledger_entries l
          where l.account_id = outgoing.account_id and l.ledger_account = outgoing.ledger_account
        ) > 0 then
          raise exception 'more would go out of a milestone than was paid in for it' using errcode = 'check_violation';
        end if;
      end loop;
      return null;
    end $$`,
  // Checked once a statement: one insert writes a whole movement (docs/design.md, Citus).
  `create trigger ledger_balances after insert on ledger_entries
    referencing new table as added for each statement execute function ledger_balances()`,
  `create trigger ledger_kept before update or delete on ledger_entries
    for each row execute function refuse_change()`,
  // Row triggers do not fire on TRUNCATE.
  `create trigger ledger_entries_emptied before truncate on ledger_entries
    for each statement execute function refuse_change()`,
];

const reversals = [
  // Money that went back, of a milestone's payment or of a top-up's.
  `create table reversals (
    account_id uuid not null,
    id text not null,
    payment_id uuid,
    top_up_id uuid,
    kind text not null check (kind in ('refund', 'dispute', 'failed_refund', 'returned_payout')),
    status text not null,
    amount_cents bigint not null check (amount_cents > 0),
    currency text not null check (currency = 'usd'),
    taken_cents bigint not null check (taken_cents >= 0),
    final boolean not null,
    observed_at timestamptz not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (account_id, id),
    foreign key (account_id, payment_id) references payments (account_id, id),
    foreign key (account_id, top_up_id) references top_ups (account_id, id),
    check (num_nonnulls(payment_id, top_up_id) = 1)
  )`,
  `create index reversals_of_payment on reversals (account_id, payment_id)`,
  `create index reversals_of_top_up on reversals (account_id, top_up_id) where top_up_id is not null`,
  `create trigger reversals_kept before delete on reversals for each row execute function refuse_change()`,
  `create trigger reversals_emptied before truncate on reversals
    for each statement execute function refuse_change()`,
];
