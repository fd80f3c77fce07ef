import { type Kysely, sql } from "kysely";

/** Payment attempts, the signatures that they are made for, invoices, refunds, and the pause of all payments. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of [...payments, ...signatures, ...invoices, ...refunds, ...pause])
    await sql.raw(statement).execute(db);
}

const payments = [
  // A top-up is not in this table: it belongs to no approval, so it has a table of its own.
  `create table payments (
    account_id uuid not null,
    id uuid not null,
    kind text not null check (kind in ('charge', 'payout', 'refund')),
    approval_id uuid not null,
    milestone_id text not null,
    card_id text,
    source_payment_id uuid,
    amount_cents bigint not null check (amount_cents > 0),
    currency text not null check (currency = 'usd'),
    processor text not null default 'sandbox' references processor (name),
    key_number integer not null check (key_number >= 0),
    body jsonb not null check (jsonb_typeof(body) = 'object'),
    status text not null check (
      status in ('created', 'submitted', 'action_required', 'unknown', 'succeeded', 'refused')
    ),
    intent_id text,
    sent_id text,
    key_used_at timestamptz,
    pending_at timestamptz,
    action_url text,
    refusal_code text,
    refusal_message text,
    lease uuid,
    leased_until timestamptz,
    due_at timestamptz,
    alerted_at timestamptz,
    alerted_last_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    resolved_at timestamptz,
    primary key (account_id, id),
    unique (account_id, id, milestone_id),
    foreign key (account_id, approval_id) references approvals (account_id, id),
    foreign key (account_id, milestone_id) references milestones (account_id, id),
    foreign key (account_id, source_payment_id) references payments (account_id, id),
    -- A charge names its card, and its intent before money can move. A payout or refund has an id once it was sent.
    check ((kind = 'charge') = (card_id is not null)),
    check (kind = 'charge' or intent_id is null and action_url is null),
    check (kind <> 'charge' or sent_id is null and key_used_at is null and source_payment_id is null),
    check (kind <> 'refund' or source_payment_id is not null),
    check ((status in ('succeeded', 'refused')) = (resolved_at is not null)),
    check (updated_at >= created_at and resolved_at >= created_at),
    check ((status in ('succeeded', 'refused')) = (due_at is null)),
    check (status in ('created', 'refused') or kind <> 'charge' or intent_id is not null),
    check (status <> 'succeeded' or kind = 'charge' or sent_id is not null),
    check ((status = 'action_required') = (action_url is not null)),
    check ((status = 'refused') = (refusal_code is not null))
  )`,
  // One attempt at a time, and at most one success: an approval moves each milestone's money once.
  `create unique index payments_open on payments (account_id, approval_id, milestone_id) where status <> 'refused'`,
  // One attempt for each key at the processor. The key derives from the milestone and this number alone, so it cannot be
  // lost without the milestone.
  `create unique index payments_key on payments (account_id, milestone_id, kind, key_number)`,
  `create unique index payments_sent on payments (account_id, kind, sent_id) where sent_id is not null`,
  `create unique index payments_intent on payments (account_id, intent_id) where intent_id is not null`,
  `create index payments_of_milestone on payments (account_id, milestone_id, kind) where status = 'succeeded'`,
  `create index payments_of_approval on payments (account_id, approval_id, created_at desc)`,
  `create index payments_newest on payments (account_id, created_at desc)`,
  // What an account has paid lately or is paying now. A second signer's limit is compared with the sum.
  `create index payments_lately on payments (account_id, resolved_at) where status <> 'refused'`,
  // The operator's lists, newest first: ids are UUIDv7.
  `create index payments_by_status on payments (status, id)`,
  `create index payments_by_status_of_account on payments (account_id, status, id)`,
  `create index payments_due on payments (due_at) where due_at is not null`,
  // A key is always sent with the same body.
  `create trigger payments_body before update on payments
    for each row when (
      (old.account_id, old.id, old.kind, old.approval_id, old.milestone_id, old.card_id, old.source_payment_id,
        old.amount_cents, old.currency, old.body)
      is distinct from
      (new.account_id, new.id, new.kind, new.approval_id, new.milestone_id, new.card_id, new.source_payment_id,
        new.amount_cents, new.currency, new.body)
      or new.key_number < old.key_number
    ) execute function refuse_change()`,
  `create trigger payments_decided before update or delete on payments
    for each row when (old.status in ('succeeded', 'refused')) execute function refuse_change()`,
  // Row triggers do not fire on TRUNCATE.
  `create trigger payments_emptied before truncate on payments
    for each statement execute function refuse_change()`,
];

const signatures = [
  // The signatures that an attempt is made for: one for each person. For each milestone a signature serves one attempt.
  `create table payment_signatures (
    account_id uuid not null,
    payment_id uuid not null,
    milestone_id text not null,
    approval_id uuid not null,
    statement_digest bytea not null,
    user_id text not null,
    primary key (account_id, payment_id, user_id),
    foreign key (account_id, payment_id, milestone_id) references payments (account_id, id, milestone_id),
    foreign key (account_id, approval_id, statement_digest, user_id)
      references signatures (account_id, approval_id, statement_digest, user_id)
  )`,
  `create unique index payment_signatures_once
    on payment_signatures (account_id, approval_id, statement_digest, user_id, milestone_id)`,
  `create trigger payment_signatures_kept before update or delete on payment_signatures
    for each row execute function refuse_change()`,
  `create trigger payment_signatures_emptied before truncate on payment_signatures
    for each statement execute function refuse_change()`,
];

const invoices = [
  // An invoice exists from the confirmation on. Its number is the account's next one, taken while the head is locked.
  `create table invoices (
    account_id uuid not null,
    id uuid not null,
    number bigint not null check (number >= 1),
    kind text not null check (kind in ('FUNDING', 'PAYOUT')),
    approval_id uuid not null,
    payment_id uuid,
    contract_id text not null,
    milestone_id text not null,
    amount_cents bigint not null check (amount_cents > 0),
    currency text not null check (currency = 'usd'),
    status text not null check (status in ('open', 'paid', 'refunded', 'void')),
    created_at timestamptz not null,
    primary key (account_id, id),
    unique (account_id, number),
    foreign key (account_id, approval_id) references approvals (account_id, id),
    foreign key (account_id, payment_id) references payments (account_id, id),
    foreign key (account_id, contract_id) references contracts (account_id, id),
    foreign key (account_id, milestone_id) references milestones (account_id, id)
  )`,
  // A refused attempt voids its invoice. The next attempt has an invoice of its own.
  `create unique index invoices_approval on invoices (account_id, approval_id) where status <> 'void'`,
  `create unique index invoices_payment on invoices (account_id, payment_id) where payment_id is not null`,
  `create index invoices_open on invoices (account_id, number desc) where status = 'open'`,
  `create index invoices_of_milestone on invoices (account_id, milestone_id)`,
  `create trigger invoices_kept before delete on invoices
    for each row execute function refuse_change()`,
  // Only the status changes, and only forward.
  `create trigger invoices_paid before update on invoices
    for each row when (
      (old.status, new.status) not in (('open', 'paid'), ('open', 'void'), ('paid', 'refunded'))
      or (old.account_id, old.id, old.number, old.kind, old.approval_id, old.payment_id, old.contract_id,
        old.milestone_id, old.amount_cents, old.currency, old.created_at)
      is distinct from
      (new.account_id, new.id, new.number, new.kind, new.approval_id, new.payment_id, new.contract_id,
        new.milestone_id, new.amount_cents, new.currency, new.created_at)
    ) execute function refuse_change()`,
  `create trigger invoices_emptied before truncate on invoices
    for each statement execute function refuse_change()`,
];

const refunds = [
  // Where each milestone's money went when its contract ended: back to its card, or to the account's credits.
  `create table refunds (
    account_id uuid not null,
    approval_id uuid not null,
    milestone_id text not null,
    sent_to text not null check (sent_to in ('card', 'credits')),
    refund_id text not null,
    amount_cents bigint not null check (amount_cents > 0),
    created_at timestamptz not null,
    primary key (account_id, milestone_id),
    foreign key (account_id, approval_id) references approvals (account_id, id),
    foreign key (account_id, milestone_id) references milestones (account_id, id)
  )`,
  `create index refunds_of_approval on refunds (account_id, approval_id)`,
  `create index refunds_newest on refunds (account_id, created_at desc)`,
  `create trigger refunds_kept before update or delete on refunds
    for each row execute function refuse_change()`,
  `create trigger refunds_emptied before truncate on refunds
    for each statement execute function refuse_change()`,
];

const pause = [
  // One row. A process locks it while it submits a payment, so a pause holds for every process.
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
