import { type Kysely, sql } from "kysely";

/** An account's credits: top-ups that people pay, the entries, and the balances that the entries sum up to. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of [...topUps, ...entries, ...signatures, ...balances])
    await sql.raw(statement).execute(db);
}

const topUps = [
  // `session_number` is the number of the processor's key. The next one is used only once the session before is known to
  // be unpaid.
  `create table top_ups (
    account_id uuid not null references accounts,
    id uuid not null,
    amount_cents bigint not null check (amount_cents between 1000 and 1000000),
    currency text not null check (currency = 'usd'),
    status text not null check (status in ('PENDING', 'COMPLETED', 'EXPIRED')),
    asked_by jsonb not null check (jsonb_typeof(asked_by) = 'object'),
    processor text not null references processor (name),
    session_number integer not null default 0 check (session_number >= 0),
    session_id text,
    session_url text,
    intent_id text,
    due_at timestamptz,
    created_at timestamptz not null,
    expires_at timestamptz not null check (expires_at > created_at),
    completed_at timestamptz,
    primary key (account_id, id),
    check ((status = 'COMPLETED') = (completed_at is not null)),
    check (status <> 'COMPLETED' or session_id is not null and intent_id is not null),
    check ((status = 'PENDING') = (due_at is not null))
  )`,
  `create index top_ups_pending on top_ups (account_id) where status = 'PENDING'`,
  `create index top_ups_due on top_ups (due_at) where due_at is not null`,
  `create index top_ups_newest on top_ups (account_id, created_at desc, id desc)`,
  `create unique index top_ups_session on top_ups (account_id, session_id) where session_id is not null`,
  `create unique index top_ups_intent on top_ups (account_id, intent_id) where intent_id is not null`,
  // The request does not change. An expired top-up may still turn out to be paid; a completed one is final.
  `create trigger top_ups_kept before update on top_ups
    for each row when (
      old.status = 'COMPLETED'
      or old.status = 'EXPIRED' and new.status = 'PENDING'
      or (old.account_id, old.id, old.amount_cents, old.currency, old.asked_by, old.created_at, old.expires_at)
        is distinct from
        (new.account_id, new.id, new.amount_cents, new.currency, new.asked_by, new.created_at, new.expires_at)
    ) execute function refuse_change()`,
  `create trigger top_ups_stay before delete on top_ups for each row execute function refuse_change()`,
];

const entries = [
  // `amount_cents` changes the available balance, `reserved_cents` the reserved one. Entries are numbered in their
  // account, so that no page of a list misses one.
  `create table credit_entries (
    account_id uuid not null references accounts,
    id uuid not null,
    number bigint not null check (number >= 1),
    type text not null check (
      type in ('TOP_UP', 'HOLD', 'HOLD_RELEASE', 'CAPTURE', 'REFUND', 'ADJUSTMENT')
    ),
    amount_cents bigint not null,
    reserved_cents bigint not null,
    closed_cents bigint not null generated always as (-reserved_cents) stored,
    hold_entry_id uuid,
    approval_id uuid,
    job_id text,
    contract_id text,
    milestone_id text,
    top_up_id uuid,
    note text check (char_length(note) between 1 and 500),
    created_at timestamptz not null,
    primary key (account_id, id),
    unique (account_id, number),
    unique (account_id, id, reserved_cents),
    foreign key (account_id, approval_id) references approvals (account_id, id),
    foreign key (account_id, contract_id) references contracts (account_id, id),
    foreign key (account_id, milestone_id) references milestones (account_id, id),
    foreign key (account_id, top_up_id) references top_ups (account_id, id),
    -- An entry that ends a hold takes back exactly what the hold reserved.
    foreign key (account_id, hold_entry_id, closed_cents)
      references credit_entries (account_id, id, reserved_cents),
    check (
      case type
        when 'HOLD' then amount_cents < 0 and reserved_cents = -amount_cents
        when 'HOLD_RELEASE' then amount_cents > 0 and reserved_cents = -amount_cents
        when 'CAPTURE' then amount_cents = 0 and reserved_cents < 0
        when 'ADJUSTMENT' then amount_cents <> 0 and reserved_cents = 0
        else amount_cents > 0 and reserved_cents = 0
      end
    ),
    check ((type in ('HOLD_RELEASE', 'CAPTURE')) = (hold_entry_id is not null)),
    check (
      (type in ('HOLD', 'HOLD_RELEASE', 'CAPTURE', 'REFUND'))
        = (num_nonnulls(approval_id, job_id, contract_id, milestone_id) = 4)
    ),
    check (type <> 'TOP_UP' or top_up_id is not null),
    check (type <> 'ADJUSTMENT' or note is not null)
  )`,
  // Credits fund a milestone at most once, and a hold ends at most once.
  `create unique index credit_holds on credit_entries (account_id, milestone_id) where type = 'HOLD'`,
  `create unique index credit_holds_closed on credit_entries (account_id, hold_entry_id)
    where hold_entry_id is not null`,
  `create unique index credit_refunds on credit_entries (account_id, milestone_id) where type = 'REFUND'`,
  `create unique index credit_top_ups on credit_entries (account_id, top_up_id) where type = 'TOP_UP'`,
  `create index credit_entries_of_approval on credit_entries (account_id, approval_id)
    where approval_id is not null`,
  `create index credit_entries_lately on credit_entries (account_id, created_at)
    where type in ('HOLD', 'HOLD_RELEASE')`,
  `create trigger credit_entries_kept before update or delete on credit_entries
    for each row execute function refuse_change()`,
];

const signatures = [
  // The signatures that credits moved for, where no attempt at the processor names them.
  `create table credit_signatures (
    account_id uuid not null,
    entry_id uuid not null,
    approval_id uuid not null,
    statement_digest bytea not null,
    user_id text not null,
    primary key (account_id, entry_id, user_id),
    foreign key (account_id, entry_id) references credit_entries (account_id, id),
    foreign key (account_id, approval_id, statement_digest, user_id)
      references signatures (account_id, approval_id, statement_digest, user_id)
  )`,
  `create trigger credit_signatures_kept before update or delete on credit_signatures
    for each row execute function refuse_change()`,
];

const balances = [
  // Only the trigger on the entries writes balances: they equal the sum of the entries at every moment.
  `create table credit_balances (
    account_id uuid primary key references accounts,
    available_cents bigint not null default 0,
    reserved_cents bigint not null default 0 check (reserved_cents >= 0),
    last_entry bigint not null default 0 check (last_entry >= 0)
  )`,
  `create trigger credit_balances_begin_empty before insert on credit_balances
    for each row when (new.available_cents <> 0 or new.reserved_cents <> 0 or new.last_entry <> 0)
    execute function refuse_change()`,
  // At depth 0 the statement comes from the service, not from the trigger on the entries.
  `create trigger credit_balances_derived before update on credit_balances
    for each row when (
      pg_trigger_depth() = 0
      and (old.account_id, old.available_cents, old.reserved_cents, old.last_entry)
        is distinct from (new.account_id, new.available_cents, new.reserved_cents, new.last_entry)
    ) execute function refuse_change()`,
  `create trigger credit_balances_stay before delete on credit_balances
    for each row execute function refuse_change()`,
  `create function add_to_credit_balance() returns trigger language plpgsql as $$
    declare
      available bigint;
    begin
      update credit_balances b set
        available_cents = b.available_cents + new.amount_cents,
        reserved_cents = b.reserved_cents + new.reserved_cents,
        last_entry = new.number
      where b.account_id = new.account_id and b.last_entry = new.number - 1
      returning b.available_cents into available;
      if not found then
        raise exception 'an entry has the next number of its account' using errcode = 'serialization_failure';
      end if;
      if available < 0 and new.amount_cents < 0 and new.type <> 'ADJUSTMENT' then
        raise exception 'only an adjustment takes more than is available' using errcode = 'check_violation';
      end if;
      return null;
    end $$`,
  `create trigger credit_entries_summed after insert on credit_entries
    for each row execute function add_to_credit_balance()`,
];
