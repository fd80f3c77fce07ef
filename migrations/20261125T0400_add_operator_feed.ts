import { type Kysely, sql } from "kysely";

/** The operator's feed: the events of all accounts, numbered once more after they have committed. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  // Events that the operator's feed has not taken over yet. Their positions are drawn while the account's head is
  // held, so that those of one account are in order. An event cannot be removed before it was taken over.
  `create table operator_outbox (
    account_id uuid not null,
    number bigint not null,
    position bigint generated always as identity,
    primary key (account_id, number),
    foreign key (account_id, number) references events (account_id, number)
  )`,
  `create index operator_outbox_position on operator_outbox (position)`,
  // A copy, so that each feed keeps and forgets its own.
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
  // One row, which whoever appends to the feed holds: numbers without gaps, in the order of the commits.
  `create table operator_head (
    id boolean primary key default true check (id),
    first_event bigint not null default 1 check (first_event >= 1),
    last_event bigint not null default 0 check (last_event >= first_event - 1)
  )`,
  `insert into operator_head default values`,
  `insert into operator_outbox (account_id, number) select account_id, number from events order by number, account_id`,
];
