import { type Kysely, sql } from "kysely";

/**
 * The passkeys that people sign in with and co-sign by.
 * Frozen: what has run somewhere is never edited; the next change is a new file.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of passkeys) await sql.raw(statement).execute(db);
}

const passkeys = [
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
    possible_copy_at timestamptz
  )`,
  `create index passkeys_of_user on auth.passkeys (user_id)`,
];
