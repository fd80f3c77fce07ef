import { type Kysely, sql } from "kysely";

/** The processor that this database belongs to: its cards, its customers, its events, and payments that were lost. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of [...processor, ...cards, ...events, ...search])
    await sql.raw(statement).execute(db);
}

const processor = [
  // One row. Cards and payments refer to its name, so that it can change only while there are none, and none is accepted of
  // another processor: sandbox payments never mix with real ones, nor Stripe's test mode with its live mode. Every decision
  // since `receipts_since` has a receipt.
  `create table processor (
    id uuid primary key,
    singleton boolean not null default true unique check (singleton),
    name text not null unique check (name in ('sandbox', 'stripe_test', 'stripe_live')),
    receipts_since timestamptz not null default now()
  )`,
  `insert into processor (id, name) values (gen_random_uuid(), 'sandbox')`,
  `create trigger processor_kept before delete on processor for each row execute function refuse_change()`,
];

const cards = [
  `create table processor_customers (
    account_id uuid primary key references accounts,
    customer_id text not null,
    created_at timestamptz not null
  )`,
  `create table payment_methods (
    account_id uuid not null references accounts,
    id text not null check (char_length(id) between 1 and 255),
    brand text not null,
    last4 text not null check (last4 ~ '^[0-9]{4}$'),
    exp_month smallint not null check (exp_month between 1 and 12),
    exp_year smallint not null,
    is_default boolean not null,
    processor text not null default 'sandbox' references processor (name),
    created_at timestamptz not null,
    removed_at timestamptz,
    detached_at timestamptz,
    primary key (account_id, id),
    check (removed_at is null or not is_default),
    check (detached_at is null or removed_at is not null)
  )`,
  `create index payment_methods_undetached on payment_methods (removed_at)
    where removed_at is not null and detached_at is null`,
  `create unique index payment_methods_default on payment_methods (account_id) where is_default`,
];

const events = [
  // Belongs to no account: which one an event is about is known only once its subject has been read.
  `create table processor_events (
    id text primary key,
    type text not null,
    intent_id text,
    setup_id text,
    session_id text,
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
];

const search = [
  // One row: the run of the server in which the processor was last searched, and the time up to which no commit is lost.
  `create table processor_search (
    id boolean primary key default true check (id),
    run text not null default server_run(),
    seen_at timestamptz not null default now()
  )`,
  `insert into processor_search default values`,
  // Intents without a payment. Account and milestone may be lost themselves, so there is no foreign key.
  `create table lost_intents (
    account_id uuid not null,
    intent_id text not null,
    milestone_id text not null,
    found_at timestamptz not null,
    told_at timestamptz,
    primary key (account_id, intent_id)
  )`,
  `create index lost_intents_of_milestone on lost_intents (account_id, milestone_id)`,
];
