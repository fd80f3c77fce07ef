import { type Kysely, sql } from "kysely";

/** Contracts and their milestones. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of [...contracts, ...milestones]) await sql.raw(statement).execute(db);
}

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
  `create index contracts_of_job on contracts (account_id, job_id, created_at desc, id desc)`,
  `create index contracts_of_payee on contracts (account_id, freelancer_user_id)`,
  // Invariant 14: held money always has a way out. A milestone is executing until the moment that it is funded, so one query
  // sees it in one of the two states.
  `create function refuse_stranding() returns trigger language plpgsql as $$
    begin
      if exists (
        select from milestones m
        left join executing_milestones x on x.account_id = m.account_id and x.milestone_id = m.id
        where m.account_id = old.account_id and m.contract_id = old.id and (
          x.milestone_id is not null
          or m.status = 'ACTIVE_FUNDED' and (old.status, old.freelancer_user_id, old.freelancer_name)
            is distinct from (new.status, new.freelancer_user_id, new.freelancer_name)
        )
      ) then
        raise exception 'a contract whose money is held or moving keeps its payee and does not end'
          using errcode = 'restrict_violation';
      end if;
      return new;
    end $$`,
  `create trigger contracts_held before update on contracts
    for each row when (
      (old.status, old.freelancer_user_id, old.freelancer_name, old.payout_account)
      is distinct from (new.status, new.freelancer_user_id, new.freelancer_name, new.payout_account)
    ) execute function refuse_stranding()`,
];

const milestones = [
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
  `create index milestones_newest on milestones (account_id, created_at desc, id desc)`,
  `create unique index milestones_number on milestones (account_id, contract_id, number)`,
  // Invariant 14, for milestones.
  `create function refuse_change_of_funded() returns trigger language plpgsql as $$
    begin
      if old.status <> 'NOT_FUNDED' or exists (
        select from executing_milestones x where x.account_id = old.account_id and x.milestone_id = old.id
      ) then
        raise exception 'a milestone whose money is held or moving keeps its contract and its terms'
          using errcode = 'restrict_violation';
      end if;
      return new;
    end $$`,
  `create trigger milestones_held before update on milestones
    for each row when (
      (old.contract_id, old.description, old.amount_cents, old.currency)
        is distinct from (new.contract_id, new.description, new.amount_cents, new.currency)
      or new.status = 'CANCELLED' and old.status <> 'CANCELLED'
    ) execute function refuse_change_of_funded()`,
];
