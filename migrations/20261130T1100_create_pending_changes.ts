import { type Kysely, sql } from "kysely";

/** Changes of an account that a second person must agree to before they take effect (CONTRACT.md §1, Two people). */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  // `terms`: what is signed, as the page shows it. `request`: what is needed to carry it out.
  `create table pending_changes (
    account_id uuid not null references accounts (account_id),
    id uuid not null,
    action text not null check (action in ('member', 'policy')),
    subject text not null,
    terms jsonb not null,
    request jsonb not null,
    asked_by text not null,
    asked_at timestamptz not null,
    expires_at timestamptz not null check (expires_at > asked_at),
    ended_at timestamptz,
    ended_by text,
    outcome text check (outcome in ('agreed', 'refused', 'withdrawn', 'replaced')),
    primary key (account_id, id),
    check ((ended_at is null) = (outcome is null)),
    check ((ended_at is null) = (ended_by is null)),
    check (outcome <> 'agreed' or ended_by <> asked_by)
  )`,
  `create unique index pending_changes_open on pending_changes (account_id, subject) where ended_at is null`,
  `create trigger pending_changes_ended before update or delete on pending_changes
    for each row when (old.ended_at is not null) execute function refuse_change()`,
  `create trigger pending_changes_asked before update on pending_changes
    for each row when (
      (old.account_id, old.id, old.action, old.subject, old.terms, old.request, old.asked_by, old.asked_at, old.expires_at)
        is distinct from (new.account_id, new.id, new.action, new.subject, new.terms, new.request, new.asked_by,
          new.asked_at, new.expires_at)
    ) execute function refuse_change()`,
];
