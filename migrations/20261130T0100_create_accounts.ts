import { type Kysely, sql } from "kysely";

/** Accounts, the heads of their feeds and chains, API tokens, and what limits and repeats of calls need. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of [...functions, ...accounts, ...tokens, ...calls])
    await sql.raw(statement).execute(db);
}

const functions = [
  // Identifies this database and this run of its server. After an asynchronous fail-over or a restore the last commits
  // may be lost, so numbers given since another run must not be given again.
  `create function server_run() returns text language sql stable as $$
    select extract(epoch from pg_postmaster_start_time()) || '/' || oid from pg_database where datname = current_database()
  $$`,
  // The same of the server that has the account's rows: in a distributed database each node has its own. Called immutable,
  // which it is for as long as a connection lives: statements that change rows leave only such functions to the node.
  `create function server_run_at(account_id uuid) returns text language plpgsql immutable as $$
    begin
      return server_run();
    end $$`,
  `create function note_server_run() returns trigger language plpgsql as $$
    begin
      new.run := server_run();
      return new;
    end $$`,
  // Invariant 2: triggers call it, so no code path can forget it.
  `create function refuse_change() returns trigger language plpgsql as $$
    begin
      raise exception '% rows are never changed', tg_table_name using errcode = 'restrict_violation';
    end $$`,
];

const accounts = [
  `create table accounts (
    account_id uuid primary key,
    id text not null check (id ~ '^[A-Za-z0-9._-]{1,64}$'),
    name text not null check (char_length(name) between 1 and 200),
    claimed_at timestamptz,
    features jsonb not null default '{}' check (jsonb_typeof(features) = 'object'),
    billing text not null default 'card' check (billing in ('card', 'credits_first')),
    co_sign text not null default 'session' check (co_sign in ('session', 'passkey')),
    second_signer_from_cents bigint check (second_signer_from_cents > 0),
    amount_typed_from_cents bigint check (amount_typed_from_cents >= 0),
    acts_mailed_at timestamptz,
    frozen boolean not null default false,
    created_at timestamptz not null,
    updated_at timestamptz not null
  )`,
  `create index accounts_newest on accounts (created_at desc, account_id desc)`,
  // The last number of each sequence of an account: events, invoices, and links of the chain of receipts.
  `create table account_heads (
    account_id uuid primary key references accounts,
    first_event bigint not null default 1 check (first_event >= 1),
    last_event bigint not null default 0 check (last_event >= first_event - 1),
    last_invoice bigint not null default 0 check (last_invoice >= 0),
    chain_index bigint not null default 0 check (chain_index >= 0),
    chain_digest bytea not null default decode(repeat('00', 32), 'hex') check (octet_length(chain_digest) = 32),
    chain_floor bigint not null default 0 check (chain_floor >= 0),
    run text not null default server_run()
  )`,
  // An empty run: numbers of an account of this id may have been lost.
  `create trigger account_heads_run before insert on account_heads
    for each row when (new.run <> '') execute function note_server_run()`,
  // The head of a chain moves only to the next link, beyond all links that may have been lost.
  `create trigger account_heads_chain before update on account_heads
    for each row when (
      (old.chain_index, old.chain_digest) is distinct from (new.chain_index, new.chain_digest)
      and new.chain_index <> greatest(old.chain_index, old.chain_floor) + 1
    ) execute function refuse_change()`,
  `create trigger account_heads_kept before delete on account_heads
    for each row when (old.chain_index > 0) execute function refuse_change()`,
  // Row triggers do not fire on TRUNCATE.
  `create trigger account_heads_emptied before truncate on account_heads
    for each statement execute function refuse_change()`,
];

const tokens = [
  // `root_id` needs no foreign key: `minted_by` keeps every minter while a token that it minted exists.
  `create table tokens (
    account_id uuid not null references accounts,
    id uuid not null,
    name text not null check (char_length(name) between 1 and 200),
    digest bytea not null check (octet_length(digest) = 32),
    preview text not null,
    scopes text[] not null,
    minted_by uuid,
    root_id uuid,
    minted_by_user text,
    maker_kind text not null default 'operator' check (maker_kind in ('operator', 'person', 'agent', 'member')),
    maker_name text,
    secretless boolean not null default false,
    created_at timestamptz not null,
    last_used_at timestamptz,
    expires_at timestamptz check (expires_at > created_at),
    revoked_at timestamptz,
    primary key (account_id, id),
    foreign key (account_id, minted_by) references tokens (account_id, id),
    constraint tokens_minter check (minted_by is null or minted_by_user is null),
    constraint tokens_root check (root_id is null or minted_by is not null),
    check ((maker_kind = 'person') = (maker_name is not null))
  )`,
  `create unique index tokens_digest on tokens (account_id, digest)`,
  // The operator and members request approvals under these tokens. Their secrets do not exist.
  `create unique index tokens_secretless on tokens (account_id, coalesce(minted_by_user, ''))
    where secretless and revoked_at is null`,
  `create index tokens_minted_by on tokens (account_id, minted_by) where minted_by is not null`,
  // When a token ended: the earlier of the two times. The sweep reads by it.
  `create index tokens_ended on tokens (least(revoked_at, expires_at))`,
  `create index tokens_ended_of_account on tokens (account_id, least(revoked_at, expires_at) desc, id desc)`,
  `create index tokens_live on tokens (account_id) where revoked_at is null`,
  `create table token_acts (
    account_id uuid not null references accounts,
    id uuid not null,
    line text not null,
    created_at timestamptz not null,
    primary key (account_id, id)
  )`,
];

const calls = [
  // An attempt claims the key before its effect. The answer is written in the effect's own transaction.
  `create table idempotency_keys (
    account_id uuid not null,
    token_id uuid not null,
    key text not null check (char_length(key) between 1 and 255),
    request_digest bytea not null check (octet_length(request_digest) = 32),
    attempt uuid not null,
    claimed_at timestamptz not null,
    answer jsonb,
    primary key (account_id, token_id, key),
    foreign key (account_id, token_id) references tokens (account_id, id)
  )`,
  `create index idempotency_keys_oldest on idempotency_keys (claimed_at, account_id)`,
  `create unlogged table rate_windows (
    bucket text not null,
    window_start timestamptz not null,
    hits integer not null,
    primary key (bucket, window_start)
  )`,
  `create unlogged table known_credentials (
    digest bytea primary key check (octet_length(digest) = 32),
    accepted_at timestamptz not null
  )`,
  `create index known_credentials_accepted on known_credentials (accepted_at)`,
];
