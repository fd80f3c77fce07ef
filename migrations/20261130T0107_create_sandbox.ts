import { type Kysely, sql } from "kysely";

/** The sandbox processor's own records, in a schema of their own. The service reads them only through the processor. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  `create schema sandbox`,
  `create table sandbox.payment_methods (
    id text primary key,
    account_id uuid not null,
    test_method text not null,
    brand text not null,
    last4 text not null,
    exp_month smallint not null,
    exp_year smallint not null,
    detached_at timestamptz
  )`,
  `create table sandbox.intents (
    id text primary key,
    account_id uuid not null,
    idempotency_key text not null unique,
    payment_method text not null,
    amount_cents bigint not null,
    currency text not null,
    status text not null check (
      status in ('requires_confirmation', 'requires_action', 'requires_payment_method', 'succeeded', 'canceled')
    ),
    decline_code text,
    metadata jsonb not null,
    created_at timestamptz not null
  )`,
  `create table sandbox.charges (
    id text primary key,
    intent_id text not null references sandbox.intents,
    account_id uuid not null,
    idempotency_key text not null,
    amount_cents bigint not null,
    currency text not null,
    status text not null check (status in ('succeeded', 'failed')),
    metadata jsonb not null,
    created_at timestamptz not null
  )`,
  `create index sandbox_charges_newest on sandbox.charges (account_id, created_at desc)`,
  // A processor charges an intent at most once.
  `create unique index sandbox_charges_once on sandbox.charges (intent_id) where status = 'succeeded'`,
  `create table sandbox.checkout_sessions (
    id text primary key,
    account_id uuid not null,
    idempotency_key text not null unique,
    amount_cents bigint not null,
    currency text not null,
    status text not null check (status in ('open', 'complete', 'expired')),
    intent_id text references sandbox.intents,
    metadata jsonb not null,
    return_url text not null,
    created_at timestamptz not null,
    check ((status = 'complete') = (intent_id is not null))
  )`,
  `create table sandbox.transfers (
    id text primary key,
    account_id uuid not null,
    idempotency_key text not null unique,
    destination text not null,
    source_intent text references sandbox.intents,
    amount_cents bigint not null,
    currency text not null,
    status text not null check (status in ('pending', 'paid', 'failed')),
    failure_code text,
    reversed_cents bigint not null default 0 check (reversed_cents between 0 and amount_cents),
    metadata jsonb not null,
    created_at timestamptz not null
  )`,
  `create table sandbox.refunds (
    id text primary key,
    account_id uuid not null,
    idempotency_key text not null unique,
    intent_id text not null references sandbox.intents,
    amount_cents bigint not null,
    currency text not null,
    status text not null check (status in ('pending', 'succeeded', 'failed')),
    failure_code text,
    metadata jsonb not null,
    created_at timestamptz not null
  )`,
  `create index sandbox_refunds_of_intent on sandbox.refunds (intent_id)`,
];
