import { type Kysely, sql } from "kysely";

/**
 * Who signs in, with what, from where; what they are mailed; and what an owner must consent to.
 * The first four tables of `auth` have the shape that better-auth wants, under names like ours.
 * Frozen: what has run somewhere is never edited; the next change is a new file.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of [...people, ...ours, ...mails, ...invitations])
    await sql.raw(statement).execute(db);
}

const people = [
  `create schema auth`,
  `create table auth.users (
    id text primary key,
    name text not null,
    email text not null unique check (email = lower(email)),
    email_verified boolean not null default false,
    image text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
  )`,
  // The library's expiry goes by the process's clock; started, seen and proved go by the database's.
  `create table auth.sessions (
    id text primary key,
    token text not null unique check (token ~ '^[A-Za-z0-9_-]{43}$'),
    user_id text not null references auth.users on delete cascade,
    expires_at timestamptz not null,
    ip_address text,
    user_agent text,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    started_at timestamptz not null default now(),
    seen_at timestamptz not null default now(),
    proved_at timestamptz not null default now()
  )`,
  `create index sessions_of_user on auth.sessions (user_id)`,
  `create index sessions_oldest on auth.sessions (started_at)`,
  `create table auth.credentials (
    id text primary key,
    account_id text not null,
    provider_id text not null,
    user_id text not null references auth.users on delete cascade,
    access_token text,
    refresh_token text,
    id_token text,
    access_token_expires_at timestamptz,
    refresh_token_expires_at timestamptz,
    scope text,
    password text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (user_id, provider_id, account_id)
  )`,
  `create table auth.verifications (
    id text primary key,
    identifier text not null,
    value text not null,
    expires_at timestamptz not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
  )`,
  `create index verifications_identifier on auth.verifications (identifier)`,
];

const ours = [
  // Whoever asks for a reset leaves a row, known or not; a sweep finds out, so that the answer tells nothing.
  `create table auth.resets (
    id uuid primary key,
    email text not null check (char_length(email) <= 254),
    requested_at timestamptz not null,
    user_id text references auth.users on delete cascade,
    digest bytea unique check (octet_length(digest) = 32),
    expires_at timestamptz,
    used_at timestamptz,
    check ((user_id is null) = (digest is null) and (user_id is null) = (expires_at is null))
  )`,
  `create index resets_requested on auth.resets (requested_at)`,
  `create table auth.audit (
    id uuid primary key,
    user_id text not null,
    action text not null,
    detail jsonb not null default '{}',
    address text,
    created_at timestamptz not null
  )`,
  `create index audit_of_user on auth.audit (user_id, created_at)`,
  `create function auth.refuse_change() returns trigger language plpgsql as $$
    begin
      raise exception '% rows are never changed', tg_table_name using errcode = 'restrict_violation';
    end $$`,
  `create trigger audit_kept before update or delete on auth.audit
    for each row execute function auth.refuse_change()`,
  // The shape that rate-limiter-flexible wants.
  `create table auth.attempts (
    key varchar(255) primary key,
    points integer not null default 0,
    expire bigint
  )`,
  `create index attempts_expire on auth.attempts (expire)`,
];

const mails = [
  `create table mails (
    id uuid primary key,
    recipient text not null check (char_length(recipient) <= 254),
    subject text not null,
    body text,
    urgent boolean not null,
    created_at timestamptz not null,
    due_at timestamptz not null,
    give_up_at timestamptz not null,
    attempts integer not null default 0,
    leased_until timestamptz,
    sent_at timestamptz,
    failed_at timestamptz,
    check (sent_at is null or failed_at is null)
  )`,
  `create index mails_due on mails (urgent desc, due_at) where sent_at is null and failed_at is null`,
];

const invitations = [
  `alter table invitations
    add column consented_at timestamptz,
    add column consented_by text,
    add constraint invitations_consent check ((consented_at is null) = (consented_by is null))`,
];
