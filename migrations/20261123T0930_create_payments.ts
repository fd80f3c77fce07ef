import { type Kysely, sql } from "kysely";

/** What moves money and what is written about it: payment attempts, invoices, the ledger, the sandbox's books. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of [...payments, ...ledger, ...sandbox]) await sql.raw(statement).execute(db);
}

const payments = [
  // A top-up is no attempt of this table: it has one of its own, as it belongs to no approval.
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
    created_at timestamptz not null,
    updated_at timestamptz not null,
    resolved_at timestamptz,
    primary key (account_id, id),
    unique (account_id, id, milestone_id),
    foreign key (account_id, approval_id) references approvals (account_id, id),
    foreign key (account_id, milestone_id) references milestones (account_id, id),
    foreign key (account_id, source_payment_id) references payments (account_id, id),
    -- A charge names its card, and its intent before money can move. What is sent has an id once it was.
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
  // One attempt at a time, and one success for ever: for an approval each milestone's money moves once.
  `create unique index payments_open on payments (account_id, approval_id, milestone_id) where status <> 'refused'`,
  // A key at the processor is of one attempt alone. It derives from the milestone and this number, and from nothing that could
  // be lost without the milestone.
  `create unique index payments_key on payments (account_id, milestone_id, kind, key_number)`,
  `create unique index payments_sent on payments (account_id, kind, sent_id) where sent_id is not null`,
  `create index payments_of_milestone on payments (account_id, milestone_id, kind) where status = 'succeeded'`,
  // What was sent under a key is sent again as it was.
  `create trigger payments_body before update on payments
    for each row when (
      (old.account_id, old.id, old.kind, old.approval_id, old.milestone_id, old.card_id, old.source_payment_id,
        old.amount_cents, old.currency, old.body)
      is distinct from
      (new.account_id, new.id, new.kind, new.approval_id, new.milestone_id, new.card_id, new.source_payment_id,
        new.amount_cents, new.currency, new.body)
      or new.key_number < old.key_number
    ) execute function refuse_change()`,
  `create index payments_of_approval on payments (account_id, approval_id, created_at desc)`,
  `create index payments_newest on payments (account_id, created_at desc)`,
  // What an account has paid lately, or is paying: what a second person's limit is compared with.
  `create index payments_lately on payments (account_id, resolved_at) where status <> 'refused'`,
  `create index payments_due on payments (due_at) where due_at is not null`,
  `create trigger payments_decided before update or delete on payments
    for each row when (old.status in ('succeeded', 'refused')) execute function refuse_change()`,
  // The signatures that an attempt is made for: one a person, and each signature for one attempt alone of each milestone.
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
  // An invoice exists from the confirmation on. Its number is the next of its account, taken with the account's head.
  `alter table account_heads add column last_invoice bigint not null default 0 check (last_invoice >= 0)`,
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
  // A refused attempt voids its invoice, and the next one has its own.
  `create unique index invoices_approval on invoices (account_id, approval_id) where status <> 'void'`,
  `create unique index invoices_payment on invoices (account_id, payment_id) where payment_id is not null`,
  `create index invoices_open on invoices (account_id, number desc) where status = 'open'`,
  `create index invoices_of_milestone on invoices (account_id, milestone_id)`,
  `create trigger invoices_kept before delete on invoices
    for each row execute function refuse_change()`,
  // What was paid, and for what, stays.
  `create trigger invoices_paid before update on invoices
    for each row when (
      (old.status, new.status) not in (('open', 'paid'), ('open', 'void'), ('paid', 'refunded'))
      or (old.account_id, old.id, old.number, old.kind, old.approval_id, old.payment_id, old.contract_id,
        old.milestone_id, old.amount_cents, old.currency, old.created_at)
      is distinct from
      (new.account_id, new.id, new.number, new.kind, new.approval_id, new.payment_id, new.contract_id,
        new.milestone_id, new.amount_cents, new.currency, new.created_at)
    ) execute function refuse_change()`,
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
  `create trigger refunds_kept before update or delete on refunds
    for each row execute function refuse_change()`,
];

const ledger = [
  `create table ledger_entries (
    account_id uuid not null,
    transaction_id uuid not null,
    line smallint not null check (line >= 1),
    ledger_account text not null,
    amount_cents bigint not null check (amount_cents <> 0),
    currency text not null check (currency = 'usd'),
    payment_id uuid not null,
    created_at timestamptz not null,
    primary key (account_id, transaction_id, line),
    foreign key (account_id, payment_id) references payments (account_id, id)
  )`,
  `create function ledger_balances() returns trigger language plpgsql as $$
    begin
      if exists (
        select from added group by account_id, transaction_id, currency having sum(amount_cents) <> 0
      ) then
        raise exception 'the entries of a movement must sum to zero' using errcode = 'check_violation';
      end if;
      -- Invariant 7. What is held for a milestone stands against it: no more goes out than was paid in.
      if exists (
        select from ledger_entries l
        where (l.account_id, l.ledger_account) in (
          select account_id, ledger_account from added where ledger_account like 'milestone:%' and amount_cents > 0
        )
        group by l.account_id, l.ledger_account having sum(l.amount_cents) > 0
      ) then
        raise exception 'more would go out of a milestone than was paid in for it' using errcode = 'check_violation';
      end if;
      return null;
    end $$`,
  `create index ledger_of_account on ledger_entries (account_id, ledger_account)`,
  // Checked by statement: a movement is written whole, by one insert (DESIGN.md, Citus).
  `create trigger ledger_balances after insert on ledger_entries
    referencing new table as added for each statement execute function ledger_balances()`,
  `create trigger ledger_kept before update or delete on ledger_entries
    for each row execute function refuse_change()`,
];

const sandbox = [
  `create table sandbox.intents (
    id text primary key,
    account_id uuid not null,
    idempotency_key text not null unique,
    payment_method text not null,
    amount_cents bigint not null,
    currency text not null,
    status text not null check (
      status in ('requires_confirmation', 'requires_action', 'requires_payment_method', 'succeeded', 'canceled')
    ),
    decline_code text,
    metadata jsonb not null,
    created_at timestamptz not null
  )`,
  `create table sandbox.charges (
    id text primary key,
    intent_id text not null references sandbox.intents,
    account_id uuid not null,
    idempotency_key text not null,
    amount_cents bigint not null,
    currency text not null,
    status text not null check (status in ('succeeded', 'failed')),
    metadata jsonb not null,
    created_at timestamptz not null
  )`,
  `create index sandbox_charges_newest on sandbox.charges (account_id, created_at desc)`,
  // A processor charges an intent once, whatever it is asked.
  `create unique index sandbox_charges_once on sandbox.charges (intent_id) where status = 'succeeded'`,
  `create table sandbox.transfers (
    id text primary key,
    account_id uuid not null,
    idempotency_key text not null unique,
    destination text not null,
    source_intent text references sandbox.intents,
    amount_cents bigint not null,
    currency text not null,
    status text not null check (status in ('pending', 'paid', 'failed')),
    failure_code text,
    reversed_cents bigint not null default 0 check (reversed_cents between 0 and amount_cents),
    metadata jsonb not null,
    created_at timestamptz not null
  )`,
  `create table sandbox.refunds (
    id text primary key,
    account_id uuid not null,
    idempotency_key text not null unique,
    intent_id text not null references sandbox.intents,
    amount_cents bigint not null,
    currency text not null,
    status text not null check (status in ('pending', 'succeeded', 'failed')),
    failure_code text,
    metadata jsonb not null,
    created_at timestamptz not null
  )`,
  `create index sandbox_refunds_of_intent on sandbox.refunds (intent_id)`,
];
