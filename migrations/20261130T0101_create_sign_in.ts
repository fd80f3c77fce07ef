import { type Kysely, sql } from "kysely";

/** Users, their passwords and sessions, password resets, and the outbox of mail. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of [...users, ...sessions, ...resets, ...mails]) await sql.raw(statement).execute(db);
}

const users = [
  `create schema auth`,
  `create table auth.users (
    id text primary key,
    name text not null,
    email text not null unique check (email = lower(email)),
    created_at timestamptz not null default now(),
    password_unverified_since timestamptz,
    signed_in_at timestamptz
  )`,
  // Argon2id, as a PHC string.
  `create table auth.passwords (
    user_id text primary key references auth.users on delete cascade,
    hash text not null check (hash like '$argon2id$%'),
    changed_at timestamptz not null
  )`,
];

const sessions = [
  // Digests are SHA-256 of the token in the cookie. All times are the database's.
  `create table auth.sessions (
    id text primary key,
    token_digest bytea not null unique check (octet_length(token_digest) = 32),
    previous_digest bytea unique check (octet_length(previous_digest) = 32),
    replaced_at timestamptz,
    user_id text not null references auth.users on delete cascade,
    address text,
    user_agent text,
    zone text,
    started_at timestamptz not null,
    seen_at timestamptz not null,
    proved_at timestamptz not null,
    trusted boolean not null default false,
    check ((previous_digest is null) = (replaced_at is null))
  )`,
  `create index sessions_of_user on auth.sessions (user_id)`,
  `create index sessions_oldest on auth.sessions (started_at)`,
  `create index sessions_idle on auth.sessions (seen_at)`,
  // The last sign-in outlives the session. A trigger writes it, so no way of signing in can forget it.
  `create function auth.note_sign_in() returns trigger language plpgsql as $$
    begin
      update auth.users set signed_in_at = new.started_at where id = new.user_id;
      return null;
    end $$`,
  `create trigger sessions_noted after insert on auth.sessions
    for each row execute function auth.note_sign_in()`,
];

const resets = [
  // Every request for a reset writes a row, whether or not the email belongs to a user. A sweep looks it up later, so the
  // answer does not reveal which emails are known.
  `create table auth.resets (
    id uuid primary key,
    email text not null check (char_length(email) <= 254),
    requested_at timestamptz not null,
    user_id text references auth.users on delete cascade,
    digest bytea unique check (octet_length(digest) = 32),
    expires_at timestamptz,
    used_at timestamptz,
    address text,
    request_id text,
    check ((user_id is null) = (digest is null) and (user_id is null) = (expires_at is null))
  )`,
  `create index resets_requested on auth.resets (requested_at)`,
  `create index resets_expired on auth.resets (expires_at)`,
  `create index resets_of_user on auth.resets (user_id, requested_at)`,
  // The columns that rate-limiter-flexible requires.
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
  `create index mails_ended on mails (least(sent_at, failed_at))`,
];
