import { type Kysely, sql } from "kysely";

/** Webhooks, and the deliveries of events to them. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  // A webhook is a queue of deliveries. A process leases the webhook, not a delivery.
  `create table webhooks (
    account_id uuid not null references accounts,
    id uuid not null,
    url text not null check (char_length(url) <= 2048),
    origin text not null,
    event_types text[] not null check (cardinality(event_types) > 0),
    status text not null default 'ACTIVE' check (status in ('ACTIVE', 'DISABLED', 'DELETED')),
    token_id uuid,
    root_id uuid,
    user_id text,
    maker_name text not null,
    secret bytea,
    secret_key_id text,
    old_secret bytea,
    old_secret_key_id text,
    old_secret_until timestamptz,
    failures integer not null default 0 check (failures >= 0),
    slow_since timestamptz,
    due_at timestamptz,
    lease uuid,
    leased_until timestamptz,
    disabled_at timestamptz,
    disabled_reason text,
    created_at timestamptz not null,
    primary key (account_id, id),
    foreign key (account_id, token_id) references tokens (account_id, id),
    check (num_nonnulls(token_id, user_id) = 1),
    check ((token_id is null) = (root_id is null)),
    check ((status = 'DELETED') = (secret is null)),
    check ((secret is null) = (secret_key_id is null)),
    check (num_nulls(old_secret, old_secret_key_id, old_secret_until) in (0, 3)),
    check ((disabled_at is null) = (disabled_reason is null)),
    check (status <> 'ACTIVE' or disabled_at is null),
    check (status <> 'DISABLED' or disabled_at is not null),
    check (due_at is null or status = 'ACTIVE'),
    check ((lease is null) = (leased_until is null)),
    check (lease is null or due_at is not null)
  )`,
  // By priority: finding a webhook that answers does not read past those that hang.
  `create index webhooks_due on webhooks ((slow_since is not null), due_at) where due_at is not null`,
  // One process at a time sends to a receiver, for all of its webhooks.
  `create unique index webhooks_leased on webhooks (account_id, origin) where lease is not null`,
  `create index webhooks_deleted on webhooks (account_id, id) where status = 'DELETED'`,
  `create index webhooks_sealed on webhooks (secret_key_id)`,
  `create index webhooks_sealed_before on webhooks (old_secret_key_id) where old_secret_key_id is not null`,
  `create table webhook_deliveries (
    account_id uuid not null,
    id uuid not null,
    webhook_id uuid not null,
    event_number bigint not null check (event_number >= 1),
    event_type text not null,
    body text not null,
    status text not null default 'PENDING' check (status in ('PENDING', 'DELIVERED', 'FAILED')),
    attempts integer not null default 0 check (attempts >= 0),
    due_at timestamptz,
    attempted_at timestamptz,
    answer_status smallint,
    answer_error text,
    created_at timestamptz not null,
    resolved_at timestamptz,
    primary key (account_id, id),
    foreign key (account_id, webhook_id) references webhooks (account_id, id),
    check ((status = 'PENDING') = (due_at is not null)),
    check ((status = 'PENDING') = (resolved_at is null)),
    check (attempted_at >= created_at and resolved_at >= created_at)
  )`,
  // An event has one delivery id for each webhook. Lists read by this index too.
  `create unique index webhook_deliveries_event on webhook_deliveries (account_id, webhook_id, event_number)`,
  `create index webhook_deliveries_due on webhook_deliveries (account_id, webhook_id, due_at, event_number)
    where status = 'PENDING'`,
  `create index webhook_deliveries_oldest on webhook_deliveries (created_at)`,
  // Every attempt sends the same body.
  `create trigger webhook_deliveries_body before update on webhook_deliveries
    for each row when (
      (old.account_id, old.id, old.webhook_id, old.event_number, old.event_type, old.body, old.created_at)
      is distinct from
      (new.account_id, new.id, new.webhook_id, new.event_number, new.event_type, new.body, new.created_at)
    ) execute function refuse_change()`,
];
