import { type Kysely, sql } from "kysely";

/**
 * Which passkeys count, and for whom their password alone does not vouch; the challenges that were answered.
 * Frozen: what has run somewhere is never edited; the next change is a new file.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of trust) await sql.raw(statement).execute(db);
}

const trust = [
  `alter table auth.users add column password_unverified_since timestamptz`,
  `alter table auth.passkeys add column active_from timestamptz`,
  `create index passkeys_inactive on auth.passkeys (user_id) where active_from is null`,
  `create table auth.passkey_consents (
    account_id uuid not null,
    passkey_id uuid not null references auth.passkeys on delete cascade,
    consented_by text not null,
    consented_at timestamptz not null,
    primary key (account_id, passkey_id)
  )`,
  `create index passkey_consents_of_passkey on auth.passkey_consents (passkey_id)`,
  // Challenges carry their own proof of where they come from; a row is written only for one that was answered.
  `create table auth.answered_challenges (
    digest bytea primary key check (octet_length(digest) = 32),
    expires_at timestamptz not null
  )`,
  `create index answered_challenges_oldest on auth.answered_challenges (expires_at)`,
];
