import { type Kysely, sql } from "kysely";

/** Members, invitations, roles that the operator asks for, and changes that a second person must agree to. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of [...members, ...invitations, ...upgrades, ...changes])
    await sql.raw(statement).execute(db);
}

const members = [
  `create table members (
    account_id uuid not null references accounts,
    id uuid not null,
    email text not null check (email = lower(email) and char_length(email) between 3 and 254),
    name text not null check (char_length(name) between 1 and 200),
    role text not null check (role in ('owner', 'approver', 'viewer')),
    status text not null check (status in ('invited', 'active', 'removed')),
    user_id text,
    mailed_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (account_id, id),
    check (status <> 'active' or user_id is not null)
  )`,
  `create unique index members_email on members (account_id, email) where status <> 'removed'`,
  `create unique index members_user on members (account_id, user_id) where status <> 'removed'`,
  `create index members_present on members (account_id, id) where status <> 'removed'`,
  `create index members_of_user on members (user_id) where status = 'active'`,
  `create index members_active on members (account_id, role) where status = 'active'`,
  // Who a person was, after they were removed.
  `create index members_ever on members (account_id, user_id, created_at desc)`,
  // An account keeps at least one owner. The lock on the account stops two owners from leaving at once.
  `create function refuse_last_owner() returns trigger language plpgsql as $$
    begin
      perform from accounts where account_id = old.account_id for no key update;
      if not exists (
        select from members
        where account_id = old.account_id and id <> old.id and status = 'active' and role = 'owner'
      ) then
        raise exception 'an account keeps an owner' using errcode = 'restrict_violation';
      end if;
      return new;
    end $$`,
  `create trigger members_keep_owner before update on members
    for each row when (
      old.status = 'active' and old.role = 'owner' and (new.status <> 'active' or new.role <> 'owner')
    ) execute function refuse_last_owner()`,
];

const invitations = [
  `create table invitations (
    account_id uuid not null,
    id uuid not null,
    member_id uuid not null,
    digest bytea not null check (octet_length(digest) = 32),
    created_at timestamptz not null,
    expires_at timestamptz not null check (expires_at > created_at),
    used_at timestamptz,
    consented_at timestamptz,
    consented_by text,
    primary key (account_id, id),
    foreign key (account_id, member_id) references members (account_id, id),
    constraint invitations_consent check ((consented_at is null) = (consented_by is null))
  )`,
  `create unique index invitations_digest on invitations (account_id, digest)`,
  `create unique index invitations_open on invitations (account_id, member_id) where used_at is null`,
  `create index invitations_ended on invitations (least(used_at, expires_at))`,
];

const upgrades = [
  // A role that the operator asks for, inactive until it takes effect. Without `effective_at` an owner must consent first.
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

const changes = [
  // A change that a second person must agree to (docs/contract.md §1, Two people). `terms` is what is signed, as the page shows
  // it. `request` is what is needed to carry the change out.
  `create table pending_changes (
    account_id uuid not null references accounts (account_id),
    id uuid not null,
    action text not null check (action in ('member', 'policy')),
    subject text not null,
    terms jsonb not null,
    request jsonb not null,
    asked_by text not null,
    asked_at timestamptz not null,
    expires_at timestamptz not null check (expires_at > asked_at),
    ended_at timestamptz,
    ended_by text,
    outcome text check (outcome in ('agreed', 'refused', 'withdrawn', 'replaced')),
    primary key (account_id, id),
    check ((ended_at is null) = (outcome is null)),
    check ((ended_at is null) = (ended_by is null)),
    check (outcome <> 'agreed' or ended_by <> asked_by)
  )`,
  `create unique index pending_changes_open on pending_changes (account_id, subject) where ended_at is null`,
  `create trigger pending_changes_ended before update or delete on pending_changes
    for each row when (old.ended_at is not null) execute function refuse_change()`,
  `create trigger pending_changes_asked before update on pending_changes
    for each row when (
      (old.account_id, old.id, old.action, old.subject, old.terms, old.request, old.asked_by, old.asked_at, old.expires_at)
        is distinct from (new.account_id, new.id, new.action, new.subject, new.terms, new.request, new.asked_by,
          new.asked_at, new.expires_at)
    ) execute function refuse_change()`,
];
