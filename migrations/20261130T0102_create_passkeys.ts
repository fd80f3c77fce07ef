import { type Kysely, sql } from "kysely";

/** Passkeys that people sign in with and co-sign by, the owners' consents to them, and answered challenges. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  `create table auth.passkeys (
    id uuid primary key,
    user_id text not null references auth.users on delete cascade,
    name text not null check (char_length(name) between 1 and 100),
    credential_id bytea not null unique check (octet_length(credential_id) between 1 and 1023),
    public_key bytea not null check (octet_length(public_key) between 1 and 8192),
    counter bigint not null check (counter between 0 and 4294967295),
    transports text[] not null default '{}',
    device_type text not null check (device_type in ('singleDevice', 'multiDevice')),
    backed_up boolean not null,
    aaguid uuid,
    created_at timestamptz not null,
    last_used_at timestamptz,
    active_from timestamptz,
    possible_copy_at timestamptz
  )`,
  `create index passkeys_of_user on auth.passkeys (user_id)`,
  `create index passkeys_inactive on auth.passkeys (user_id) where active_from is null`,
  `create table auth.passkey_consents (
    account_id uuid not null,
    passkey_id uuid not null references auth.passkeys on delete cascade,
    consented_by text not null,
    consented_at timestamptz not null,
    primary key (account_id, passkey_id)
  )`,
  `create index passkey_consents_of_passkey on auth.passkey_consents (passkey_id)`,
  // A challenge carries its own proof of origin. A row is written only for an answered one, so none is answered twice.
  `create table auth.answered_challenges (
    digest bytea primary key check (octet_length(digest) = 32),
    expires_at timestamptz not null
  )`,
  `create index answered_challenges_oldest on auth.answered_challenges (expires_at)`,
];
