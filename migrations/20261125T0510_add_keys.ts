import { type Kysely, sql } from "kysely";

/** Answers that are kept for a call's repeats, who minted a token by hand, and an owner for every account. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of [...repeats, ...tokens, ...members]) await sql.raw(statement).execute(db);
}

const repeats = [
  // Claimed by an attempt before its effect; the answer is written in the effect's own transaction.
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
  `create index idempotency_keys_oldest on idempotency_keys (claimed_at)`,
];

const tokens = [
  `alter table tokens add column minted_by_user text,
    add constraint tokens_minter check (minted_by is null or minted_by_user is null)`,
  // Under these the operator and members request approvals themselves. Nobody has their secrets.
  `create unique index tokens_secretless on tokens (account_id, coalesce(minted_by_user, ''))
    where secretless and revoked_at is null`,
  `create index tokens_minted_by on tokens (account_id, minted_by) where minted_by is not null`,
];

// Held where no code path can forget it. The account is held against two owners who leave at once.
const members = [
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
