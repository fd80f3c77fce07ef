import { type Kysely, sql } from "kysely";

/** Where the events of all accounts are sent. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql
    .raw(
      // One row at most: a reader of the operator's feed with a cursor of its own, which goes on when an event has
      // arrived. So there is nothing to write when an event is, and nothing that could be forgotten.
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
    )
    .execute(db);
}
