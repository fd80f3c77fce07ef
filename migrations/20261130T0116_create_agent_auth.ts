import { type Kysely, sql } from "kysely";

/** Agents that register themselves, and the attempts of people to claim their accounts. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  // One for each account. Its secrets name the account: the row is found by it, then the digests are compared.
  `create table agent_registrations (
    account_id uuid primary key references accounts,
    token_id uuid not null,
    agent_name text check (char_length(agent_name) between 1 and 100),
    address text not null,
    user_agent text not null,
    claim_digest bytea not null check (octet_length(claim_digest) = 32),
    poll_interval integer not null check (poll_interval >= 5),
    polled_at timestamptz,
    created_at timestamptz not null,
    expires_at timestamptz not null check (expires_at > created_at),
    claimed_at timestamptz,
    scopes text[],
    delivered_at timestamptz,
    foreign key (account_id, token_id) references tokens (account_id, id),
    check ((claimed_at is null) = (scopes is null)),
    check (delivered_at is null or claimed_at is not null)
  )`,
  `create index agent_registrations_unclaimed on agent_registrations (expires_at) where claimed_at is null`,
  `create table claim_attempts (
    account_id uuid primary key references agent_registrations,
    email text not null check (email = lower(email) and char_length(email) between 3 and 254),
    page_digest bytea not null check (octet_length(page_digest) = 32),
    code_digest bytea not null check (octet_length(code_digest) = 32),
    link_digest bytea not null check (octet_length(link_digest) = 32),
    wrong_codes smallint not null check (wrong_codes between 0 and 5),
    created_at timestamptz not null,
    expires_at timestamptz not null check (expires_at > created_at)
  )`,
];
