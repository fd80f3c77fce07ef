import { type Kysely, sql } from "kysely";

/** Audit entries: who did what to which subject, from where. Append-only. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  // No foreign keys: an entry outlives its subject. Entries of no account have the nil UUID.
  `create table audit_entries (
    account_id uuid not null,
    id uuid not null,
    at timestamptz not null,
    action text not null,
    actor_kind text not null check (actor_kind in ('person', 'token', 'operator', 'service')),
    actor_id text,
    actor_name text,
    actor_root text,
    subject_kind text,
    subject_id text,
    before jsonb,
    after jsonb,
    detail jsonb not null default '{}',
    address text,
    request_id text,
    primary key (account_id, id),
    check ((actor_kind = 'service') = (actor_id is null)),
    check ((actor_kind = 'token') = (actor_root is not null)),
    check ((subject_kind is null) = (subject_id is null))
  )`,
  `create index audit_entries_newest on audit_entries (account_id, at desc, id desc)`,
  `create index audit_entries_by_action on audit_entries (account_id, action, at desc, id desc)`,
  `create trigger audit_entries_kept before update or delete on audit_entries
    for each row execute function refuse_change()`,
  `create trigger audit_entries_emptied before truncate on audit_entries
    for each statement execute function refuse_change()`,
];
