import { type Kysely, sql } from "kysely";

/**
 * What a real processor needs beside the sandbox: the one this database belongs to, its customers, the events
 * that it sends, and the refunds and disputes that begin on its side.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of [...processor, ...customers, ...events, ...reversals])
    await sql.raw(statement).execute(db);
}

// One row. It can change only while there are no cards and no payments, and those are taken only for the processor
// that it names: what the sandbox has "paid" is never mixed with money, nor Stripe's test mode with its live one.
const processor = [
  `create table processor (
    id uuid primary key,
    singleton boolean not null default true unique check (singleton),
    name text not null check (name in ('sandbox', 'stripe_test', 'stripe_live'))
  )`,
  `insert into processor (id, name) values (gen_random_uuid(), 'sandbox')`,
  `create function refuse_processor_change() returns trigger language plpgsql as $$
    begin
      if exists (select from payment_methods) or exists (select from payments) then
        raise exception 'this database holds another processor''s cards or payments' using errcode = 'restrict_violation';
      end if;
      return new;
    end $$`,
  `create trigger processor_change before update of name on processor
    for each row when (old.name <> new.name) execute function refuse_processor_change()`,
  `create trigger processor_kept before delete on processor for each row execute function refuse_change()`,
  `alter table payment_methods add column processor text not null default 'sandbox'`,
  `alter table payments add column processor text not null default 'sandbox'`,
  `create function require_processor() returns trigger language plpgsql as $$
    begin
      perform from processor where name = new.processor for share;
      if not found then
        raise exception 'this database does not belong to the processor %', new.processor using errcode = 'restrict_violation';
      end if;
      return new;
    end $$`,
  `create trigger payment_methods_processor before insert or update of processor on payment_methods
    for each row execute function require_processor()`,
  `create trigger payments_processor before insert or update of processor on payments
    for each row execute function require_processor()`,
];

const customers = [
  `create table processor_customers (
    account_id uuid primary key references accounts,
    customer_id text not null,
    created_at timestamptz not null
  )`,
];

// Not of any account: who an event is about is known only once its subject has been read.
const events = [
  `create table processor_events (
    id text primary key,
    type text not null,
    intent_id text,
    setup_id text,
    sent_kind text check (sent_kind in ('payout', 'refund')),
    sent_id text,
    account_id uuid,
    received_at timestamptz not null,
    attempts integer not null default 0,
    due_at timestamptz,
    handled_at timestamptz,
    check ((sent_kind is null) = (sent_id is null)),
    check ((handled_at is null) = (due_at is not null))
  )`,
  `create index processor_events_due on processor_events (due_at) where due_at is not null`,
  `create index processor_events_handled on processor_events (handled_at) where handled_at is not null`,
  `create unique index payments_intent on payments (account_id, intent_id) where intent_id is not null`,
];

const reversals = [
  `create table reversals (
    account_id uuid not null,
    id text not null,
    payment_id uuid not null,
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
    foreign key (account_id, payment_id) references payments (account_id, id)
  )`,
  `create index reversals_of_payment on reversals (account_id, payment_id)`,
  `create trigger reversals_kept before delete on reversals for each row execute function refuse_change()`,
];
