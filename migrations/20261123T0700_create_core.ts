import { type Kysely, sql } from "kysely";

/**
 * The ground: accounts, who may speak for them, what there is to fund, and the approvals that humans sign.
 * Frozen: what has run somewhere is never edited; the next change is a new file.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of [...accounts, ...contracts, ...approvals, ...guards, ...operations]) {
    await sql.raw(statement).execute(db);
  }
}

const accounts = [
  // Which run of which database this is: another one may have lost what was committed last (an asynchronous fail-over, a
  // restore), so that numbers given since are given out.
  `create function server_run() returns text language sql stable as $$
    select extract(epoch from pg_postmaster_start_time()) || '/' || oid from pg_database where datname = current_database()
  $$`,
  `create table accounts (
    account_id uuid primary key,
    id text not null check (id ~ '^[A-Za-z0-9._-]{1,64}$'),
    name text not null check (char_length(name) between 1 and 200),
    claimed_at timestamptz,
    features jsonb not null default '{}' check (jsonb_typeof(features) = 'object'),
    billing text not null default 'card' check (billing in ('card', 'credits_first')),
    co_sign text not null default 'session' check (co_sign in ('session', 'passkey')),
    second_signer_from_cents bigint check (second_signer_from_cents > 0),
    created_at timestamptz not null,
    updated_at timestamptz not null
  )`,
  `create table account_heads (
    account_id uuid primary key references accounts,
    first_event bigint not null default 1 check (first_event >= 1),
    last_event bigint not null default 0 check (last_event >= first_event - 1),
    chain_index bigint not null default 0 check (chain_index >= 0),
    chain_digest bytea not null default decode(repeat('00', 32), 'hex') check (octet_length(chain_digest) = 32),
    chain_floor bigint not null default 0 check (chain_floor >= 0),
    run text not null default server_run()
  )`,
  `create table members (
    account_id uuid not null references accounts,
    id uuid not null,
    email text not null check (email = lower(email) and char_length(email) between 3 and 254),
    name text not null check (char_length(name) between 1 and 200),
    role text not null check (role in ('owner', 'approver', 'viewer')),
    status text not null check (status in ('invited', 'active', 'removed')),
    user_id text,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (account_id, id),
    check (status <> 'active' or user_id is not null)
  )`,
  `create unique index members_email on members (account_id, email) where status <> 'removed'`,
  `create unique index members_user on members (account_id, user_id) where status <> 'removed'`,
  `create index members_of_user on members (user_id) where status = 'active'`,
  `create table invitations (
    account_id uuid not null,
    id uuid not null,
    member_id uuid not null,
    digest bytea not null check (octet_length(digest) = 32),
    created_at timestamptz not null,
    expires_at timestamptz not null check (expires_at > created_at),
    used_at timestamptz,
    primary key (account_id, id),
    foreign key (account_id, member_id) references members (account_id, id)
  )`,
  `create unique index invitations_digest on invitations (account_id, digest)`,
  `create unique index invitations_open on invitations (account_id, member_id) where used_at is null`,
  `create table tokens (
    account_id uuid not null references accounts,
    id uuid not null,
    name text not null check (char_length(name) between 1 and 200),
    digest bytea not null check (octet_length(digest) = 32),
    preview text not null,
    scopes text[] not null,
    minted_by uuid,
    maker_kind text not null default 'operator' check (maker_kind in ('operator', 'person', 'agent', 'member')),
    maker_name text,
    secretless boolean not null default false,
    created_at timestamptz not null,
    last_used_at timestamptz,
    expires_at timestamptz check (expires_at > created_at),
    revoked_at timestamptz,
    primary key (account_id, id),
    foreign key (account_id, minted_by) references tokens (account_id, id),
    check ((maker_kind = 'person') = (maker_name is not null))
  )`,
  `create unique index tokens_digest on tokens (account_id, digest)`,
  `create table payment_methods (
    account_id uuid not null references accounts,
    id text not null check (char_length(id) between 1 and 255),
    brand text not null,
    last4 text not null check (last4 ~ '^[0-9]{4}$'),
    exp_month smallint not null check (exp_month between 1 and 12),
    exp_year smallint not null,
    is_default boolean not null,
    created_at timestamptz not null,
    removed_at timestamptz,
    primary key (account_id, id),
    check (removed_at is null or not is_default)
  )`,
  `create unique index payment_methods_default on payment_methods (account_id) where is_default`,
];

const contracts = [
  `create table contracts (
    account_id uuid not null references accounts,
    id text not null check (id ~ '^[A-Za-z0-9._-]{1,64}$'),
    title text not null check (char_length(title) between 1 and 200),
    job_id text not null check (job_id ~ '^[A-Za-z0-9._-]{1,64}$'),
    proposal_id text check (proposal_id ~ '^[A-Za-z0-9._-]{1,64}$'),
    payment_type text not null check (payment_type in ('FIXED_PRICE', 'PAY_PER_HOUR', 'PAY_PER_LABEL')),
    rate_cents bigint check (rate_cents > 0),
    status text not null check (status in ('active', 'ended')),
    freelancer_user_id text not null,
    freelancer_name text not null,
    freelancer_country text,
    freelancer_profile_path text,
    payout_account text,
    revision integer not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    ended_at timestamptz,
    primary key (account_id, id),
    check ((status = 'ended') = (ended_at is not null)),
    check (updated_at >= created_at and ended_at >= created_at)
  )`,
  `create index contracts_newest on contracts (account_id, created_at desc, id desc)`,
  `create table milestones (
    account_id uuid not null,
    id text not null check (id ~ '^[A-Za-z0-9._-]{1,64}$'),
    contract_id text not null,
    number integer not null check (number >= 1),
    name text check (char_length(name) between 1 and 200),
    description text not null check (char_length(description) between 1 and 5000),
    amount_cents bigint not null check (amount_cents between 50 and 99999999),
    currency text not null default 'usd' check (currency = 'usd'),
    volume numeric check (volume > 0),
    due_at timestamptz,
    status text not null default 'NOT_FUNDED'
      check (status in ('NOT_FUNDED', 'ACTIVE_FUNDED', 'PAID', 'REFUNDED', 'CANCELLED')),
    invoice_id text,
    revision integer not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (account_id, id),
    foreign key (account_id, contract_id) references contracts (account_id, id),
    check (updated_at >= created_at)
  )`,
  `create unique index milestones_number on milestones (account_id, contract_id, number)`,
];

const approvals = [
  `create table approvals (
    account_id uuid not null,
    id uuid not null,
    type text not null check (type in ('milestone_fund', 'milestone_approve', 'contract_end')),
    status text not null default 'pending' check (status in ('pending', 'confirmed', 'declined', 'expired')),
    contract_id text not null,
    milestone_id text,
    subject_id text not null generated always as (coalesce(milestone_id, contract_id)) stored,
    job_id text not null,
    terms jsonb not null,
    terms_digest bytea not null check (octet_length(terms_digest) = 32),
    co_sign text not null check (co_sign in ('session', 'passkey')),
    second_signer_from_cents bigint check (second_signer_from_cents > 0),
    token_id uuid not null,
    token_name text not null,
    token_preview text not null,
    root_token_id uuid not null,
    asker jsonb,
    executing_at timestamptz,
    result jsonb,
    created_at timestamptz not null,
    expires_at timestamptz not null check (expires_at > created_at),
    resolved_at timestamptz,
    primary key (account_id, id),
    foreign key (account_id, contract_id) references contracts (account_id, id),
    foreign key (account_id, milestone_id) references milestones (account_id, id),
    check ((type = 'contract_end') = (milestone_id is null)),
    check ((status = 'pending') = (resolved_at is null)),
    check (resolved_at >= created_at),
    check (executing_at is null or status = 'pending'),
    check (status <> 'confirmed' or result is not null),
    check (status <> 'pending' or result is null),
    -- A decline holds a note at most, for the agent to read.
    check (status <> 'declined' or result is null
      or result = jsonb_build_object('note', result ->> 'note') and char_length(result ->> 'note') between 1 and 500)
  )`,
  // Invariant 1. The index that the fund request reads, inserts against, and counts by.
  `create unique index approvals_pending on approvals (account_id, type, subject_id) where status = 'pending'`,
  `create index approvals_due on approvals (expires_at) where status = 'pending' and executing_at is null`,
  `create index approvals_newest on approvals (account_id, created_at desc, id desc)`,
  `create index approvals_of_contract on approvals (account_id, contract_id) where status = 'pending'`,
  // Invariant 1, second half: one executing action per milestone, whatever its type.
  `create table executing_milestones (
    account_id uuid not null,
    milestone_id text not null,
    approval_id uuid not null,
    started_at timestamptz not null,
    primary key (account_id, milestone_id),
    foreign key (account_id, milestone_id) references milestones (account_id, id),
    foreign key (account_id, approval_id) references approvals (account_id, id)
  )`,
  `create table signatures (
    account_id uuid not null,
    approval_id uuid not null,
    statement_digest bytea not null check (octet_length(statement_digest) = 32),
    user_id text not null,
    decision text not null check (decision in ('confirm', 'decline')),
    statement jsonb not null,
    proof jsonb not null,
    created_at timestamptz not null,
    signers_required smallint not null default 1 check (signers_required in (1, 2)),
    primary key (account_id, approval_id, statement_digest, user_id),
    foreign key (account_id, approval_id) references approvals (account_id, id)
  )`,
  `create table events (
    account_id uuid not null references accounts,
    number bigint not null check (number >= 1),
    type text not null,
    resource_id text not null,
    job_id text,
    data json not null,
    created_at timestamptz not null,
    primary key (account_id, number)
  )`,
];

// Invariant 2, held where no code path can forget it.
const guards = [
  `create function refuse_change() returns trigger language plpgsql as $$
    begin
      raise exception '% rows are never changed', tg_table_name using errcode = 'restrict_violation';
    end $$`,
  `create trigger approvals_decided before update or delete on approvals
    for each row when (old.status <> 'pending') execute function refuse_change()`,
  `create trigger approvals_terms before update on approvals
    for each row when (
      (old.account_id, old.id, old.type, old.contract_id, old.milestone_id, old.job_id, old.terms,
        old.terms_digest, old.co_sign, old.second_signer_from_cents, old.token_id, old.token_name, old.token_preview,
        old.root_token_id, old.asker, old.created_at, old.expires_at)
      is distinct from
      (new.account_id, new.id, new.type, new.contract_id, new.milestone_id, new.job_id, new.terms,
        new.terms_digest, new.co_sign, new.second_signer_from_cents, new.token_id, new.token_name, new.token_preview,
        new.root_token_id, new.asker, new.created_at, new.expires_at)
    ) execute function refuse_change()`,
  `create trigger signatures_kept before update or delete on signatures
    for each row execute function refuse_change()`,
  `create trigger events_kept before update on events
    for each row execute function refuse_change()`,
];

const operations = [
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
  `create schema sandbox`,
  `create table sandbox.payment_methods (
    id text primary key,
    account_id uuid not null,
    test_method text not null,
    brand text not null,
    last4 text not null,
    exp_month smallint not null,
    exp_year smallint not null,
    detached_at timestamptz
  )`,
];
