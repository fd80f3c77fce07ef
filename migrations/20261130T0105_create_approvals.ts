import { type Kysely, sql } from "kysely";

/** Approvals, the milestones that they execute on, the signatures, and the passkey challenges of co-signing. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of [...approvals, ...executing, ...signatures]) await sql.raw(statement).execute(db);
}

const approvals = [
  // `notify_at` is when the sweep that mails looks at the approval next; `announced_at`, when the operator's feed reported it.
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
    contract_title text,
    milestone_name text,
    executing_at timestamptz,
    notify_at timestamptz,
    announced_at timestamptz,
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
    -- A declined approval has at most a note for the agent.
    check (status <> 'declined' or result is null
      or result = jsonb_build_object('note', result ->> 'note') and char_length(result ->> 'note') between 1 and 500)
  )`,
  // Invariant 1. The fund request reads, inserts against and counts by this index. Lists need no index of their own: ids
  // are UUIDv7, so the primary key is in the order of creation.
  `create unique index approvals_pending on approvals (account_id, type, subject_id) where status = 'pending'`,
  // The operator's lists, newest first. A pending one of an account is among 100, so that asking for one writes one of these.
  `create index approvals_pending_newest on approvals (id) where status = 'pending'`,
  `create index approvals_ended on approvals (status, id) where status <> 'pending'`,
  `create index approvals_ended_of_account on approvals (account_id, status, id) where status <> 'pending'`,
  `create index approvals_due on approvals (expires_at) where status = 'pending' and executing_at is null`,
  `create index approvals_notify on approvals (notify_at) where status = 'pending' and notify_at is not null`,
  // Of what has ended, so that a fund request does not have to write these.
  `create index approvals_of_subject on approvals (account_id, subject_id, created_at) where status <> 'pending'`,
  `create index approvals_of_contract on approvals (account_id, contract_id, id desc) where status <> 'pending'`,
  `create trigger approvals_decided before update or delete on approvals
    for each row when (old.status <> 'pending') execute function refuse_change()`,
  `create trigger approvals_terms before update on approvals
    for each row when (
      (old.account_id, old.id, old.type, old.contract_id, old.milestone_id, old.job_id, old.terms,
        old.terms_digest, old.co_sign, old.second_signer_from_cents, old.token_id, old.token_name, old.token_preview,
        old.root_token_id, old.asker, old.contract_title, old.milestone_name, old.created_at, old.expires_at)
      is distinct from
      (new.account_id, new.id, new.type, new.contract_id, new.milestone_id, new.job_id, new.terms,
        new.terms_digest, new.co_sign, new.second_signer_from_cents, new.token_id, new.token_name, new.token_preview,
        new.root_token_id, new.asker, new.contract_title, new.milestone_name, new.created_at, new.expires_at)
    ) execute function refuse_change()`,
  // Row triggers do not fire on TRUNCATE.
  `create trigger approvals_emptied before truncate on approvals
    for each statement execute function refuse_change()`,
];

const executing = [
  // Invariant 1, second half: at most one executing action of a milestone, of any type.
  `create table executing_milestones (
    account_id uuid not null,
    milestone_id text not null,
    approval_id uuid not null,
    started_at timestamptz not null,
    primary key (account_id, milestone_id),
    foreign key (account_id, milestone_id) references milestones (account_id, id),
    foreign key (account_id, approval_id) references approvals (account_id, id)
  )`,
  // Locks the contract, then the milestone, so that neither changes while an action on it begins.
  `create function hold_contract() returns trigger language plpgsql as $$
    declare
      held text;
    begin
      select contract_id into held from milestones where account_id = new.account_id and id = new.milestone_id;
      if not found then
        return new; -- The foreign key refuses it.
      end if;
      perform from contracts where account_id = new.account_id and id = held and status = 'active' for share;
      if not found then
        raise exception 'an action begins under an active contract alone' using errcode = 'restrict_violation';
      end if;
      perform from milestones
      where account_id = new.account_id and id = new.milestone_id and contract_id = held for share;
      if not found then
        raise exception 'the milestone was moved to another contract' using errcode = 'serialization_failure';
      end if;
      return new;
    end $$`,
  `create trigger executing_milestones_held before insert on executing_milestones
    for each row execute function hold_contract()`,
];

const signatures = [
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
  `create trigger signatures_kept before update or delete on signatures
    for each row execute function refuse_change()`,
  `create trigger signatures_emptied before truncate on signatures
    for each statement execute function refuse_change()`,
  // One challenge for a person and an approval. The next one replaces it, so rows do not pile up and no sweep is needed.
  `create table co_sign_challenges (
    account_id uuid not null,
    approval_id uuid not null,
    user_id text not null,
    session_id text not null,
    digest bytea not null check (octet_length(digest) = 32),
    issued_at timestamptz not null,
    expires_at timestamptz not null check (expires_at > issued_at),
    primary key (account_id, approval_id, user_id),
    foreign key (account_id, approval_id) references approvals (account_id, id)
  )`,
];
