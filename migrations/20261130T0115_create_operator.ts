import { type Kysely, sql } from "kysely";

/** The operator's feed: the events of all accounts, numbered again after they have committed; and its webhook. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of [...feed, ...webhook]) await sql.raw(statement).execute(db);
}

const feed = [
  // Events that the operator's feed has not taken over yet. A position is drawn while the account's head is locked, so
  // the events of one account are in order. The foreign key keeps an event until it is taken over.
  // Not an identity column: a distributed table with one could not be moved back to one Postgres.
  `create sequence operator_positions`,
  `create table operator_outbox (
    account_id uuid not null,
    number bigint not null,
    position bigint not null default nextval('operator_positions'),
    primary key (account_id, number),
    foreign key (account_id, number) references events (account_id, number)
  )`,
  `create index operator_outbox_position on operator_outbox (position)`,
  // A copy of each event, so that each feed deletes its own on its own schedule.
  `create table operator_events (
    number bigint primary key check (number >= 1),
    account text not null,
    type text not null,
    resource_id text not null,
    job_id text,
    data json not null,
    created_at timestamptz not null
  )`,
  `create trigger operator_events_kept before update on operator_events
    for each row execute function refuse_change()`,
  // One row, locked by the process that appends to the feed: numbers have no gaps and follow the order of commits. `runs`
  // counts the server's runs in which it was locked.
  `create table operator_head (
    id boolean primary key default true check (id),
    first_event bigint not null default 1 check (first_event >= 1),
    last_event bigint not null default 0 check (last_event >= first_event - 1),
    run text not null default server_run(),
    runs bigint not null default 1
  )`,
  `insert into operator_head default values`,
];

const webhook = [
  // One row at most: a reader of the feed with a cursor, which moves on once an event has arrived. Writing an event
  // therefore writes nothing here.
  `create table operator_webhook (
    id boolean primary key default true check (id),
    url text not null check (char_length(url) <= 2048),
    secret bytea not null,
    secret_key_id text not null,
    old_secret bytea,
    old_secret_key_id text,
    old_secret_until timestamptz,
    cursor bigint not null check (cursor >= 0),
    attempts integer not null default 0 check (attempts >= 0),
    due_at timestamptz not null,
    attempted_at timestamptz,
    answer_status smallint,
    answer_error text,
    lease uuid,
    leased_until timestamptz,
    created_at timestamptz not null,
    check (num_nulls(old_secret, old_secret_key_id, old_secret_until) in (0, 3)),
    check ((lease is null) = (leased_until is null))
  )`,
];
