import { type Kysely, sql } from "kysely";

/** What the operator may do to accounts that hold money, and what keeps that money from being stranded. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of [...held, ...switches, ...upgrades]) await sql.raw(statement).execute(db);
}

// Invariant 14: money that is held always has a way out. Enforced here, whoever writes.
const held = [
  // A milestone is executing until the moment it is funded: one query sees it in one of the two states.
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
  // Holds contract and milestone, in this order, so that neither changes while an action on it begins.
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

// `payment_pause` holds one row: what submits a payment reads it with the row held, so that a pause holds over processes.
const switches = [
  `alter table accounts add column frozen boolean not null default false`,
  `create table payment_pause (
    one_row boolean primary key default true check (one_row),
    paused boolean not null,
    changed_at timestamptz
  )`,
  `insert into payment_pause (paused) values (false)`,
  `create function refuse_removal() returns trigger language plpgsql as $$
    begin
      raise exception 'the row of % stays', tg_table_name using errcode = 'restrict_violation';
    end $$`,
  `create trigger payment_pause_kept before delete on payment_pause
    for each row execute function refuse_removal()`,
  `create trigger payment_pause_emptied before truncate on payment_pause
    for each statement execute function refuse_removal()`,
];

const upgrades = [
  // The last sign-in, which outlives the session. Kept by a trigger: no way of signing in can forget it.
  `alter table auth.users add column signed_in_at timestamptz`,
  `create function auth.note_sign_in() returns trigger language plpgsql as $$
    begin
      update auth.users set signed_in_at = new.started_at where id = new.user_id;
      return null;
    end $$`,
  `create trigger sessions_noted after insert on auth.sessions
    for each row execute function auth.note_sign_in()`,
  // A role that the operator asks for and that does not count yet. Without `effective_at` an owner consents first.
  `create table member_upgrades (
    account_id uuid not null,
    id uuid not null,
    member_id uuid not null,
    role text not null check (role in ('owner', 'approver')),
    asked_at timestamptz not null,
    effective_at timestamptz check (effective_at > asked_at),
    mailed_at timestamptz not null,
    ended_at timestamptz,
    outcome text check (
      outcome in ('consented', 'refused', 'objected', 'owner_signed_in', 'effective', 'withdrawn')
    ),
    primary key (account_id, id),
    foreign key (account_id, member_id) references members (account_id, id),
    check ((ended_at is null) = (outcome is null))
  )`,
  `create unique index member_upgrades_open on member_upgrades (account_id, member_id) where ended_at is null`,
  `create index member_upgrades_timed on member_upgrades (mailed_at)
    where ended_at is null and effective_at is not null`,
  `create trigger member_upgrades_ended before update or delete on member_upgrades
    for each row when (old.ended_at is not null) execute function refuse_change()`,
];
