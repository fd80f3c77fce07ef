import { sql } from "kysely";
import type { Db, Trx } from "../../src/database/connection.ts";
import type { FakeStripe } from "./stripe/fake.ts";

// Each statement lists what would be a fault. Together: payments, charges, invoices and ledger agree to the
// cent, one by one, and approvals, milestones and events are in step with them.
// `charges` and `intents` are the processor's.
const FAULTS: Record<string, string> = {
  "a success without its one charge": `
    select p.id from payments p where p.kind = 'charge' and p.status = 'succeeded' and 1 <> (
      select count(*) from charges c where c.account_id = p.account_id and c.intent_id = p.intent_id
        and c.status = 'succeeded' and c.gross_cents = p.amount_cents and c.currency = p.currency)`,
  "a charge that is not booked and never will be": `
    select c.id from charges c where c.status = 'succeeded' and c.amount_cents > 0 and not exists (
      select from payments p where p.account_id = c.account_id and p.intent_id = c.intent_id
        and p.status <> 'refused' and p.amount_cents = c.gross_cents) and not exists (
      select from top_ups t where t.account_id = c.account_id and t.id::text = c.metadata->>'topUpId'
        and (t.status <> 'EXPIRED') and (t.intent_id is null or t.intent_id = c.intent_id))`,
  "an intent that can still move although its payment is refused": `
    select p.id from payments p join intents i on i.id = p.intent_id
    where p.status = 'refused' and i.status not in ('requires_payment_method', 'canceled')`,
  "an approval that was charged twice": `
    select c.metadata->>'approvalId' as id from charges c where c.status = 'succeeded' and c.metadata->>'topUpId' is null
    group by 1 having count(*) > 1`,
  "a milestone that was charged twice": `
    select c.metadata->>'milestoneId' as id from charges c where c.status = 'succeeded' and c.amount_cents > 0
      and c.metadata->>'topUpId' is null
    group by c.account_id, 1 having count(*) > 1`,
  "a success without its one invoice": `
    select p.id from payments p where p.kind <> 'refund' and p.status = 'succeeded' and 1 <> (
      select count(*) from invoices i where i.account_id = p.account_id and i.payment_id = p.id
        and i.milestone_id = p.milestone_id and i.amount_cents = p.amount_cents and i.status in ('paid', 'refunded'))`,
  "an invoice out of step with its attempt": `
    select i.id from invoices i join payments p on p.account_id = i.account_id and p.id = i.payment_id
    where case i.status when 'open' then p.status in ('succeeded', 'refused') when 'void' then p.status <> 'refused'
      else p.status <> 'succeeded' end`,
  "a gap in an account's invoices": `
    select h.account_id as id from account_heads h left join invoices i on i.account_id = h.account_id
    group by h.account_id, h.last_invoice having count(i.id) <> h.last_invoice or coalesce(max(i.number), 0) <> h.last_invoice`,
  "a success that the ledger does not hold once, less what went back of it": `
    select p.id from payments p
    left join lateral (
      select coalesce(sum(amount_cents), 0) as sum,
        coalesce(sum(amount_cents) filter (where ledger_account = 'processor'), 0) as moved
      from ledger_entries l where l.account_id = p.account_id and l.payment_id = p.id
    ) l on true
    left join lateral (
      select coalesce(sum(taken_cents) filter (where kind in ('refund', 'dispute')), 0) as taken,
        coalesce(sum(taken_cents) filter (where kind = 'returned_payout'), 0) as returned
      from reversals r where r.account_id = p.account_id and r.payment_id = p.id
    ) r on true
    where p.status = 'succeeded' and (l.sum <> 0 or case p.kind when 'charge' then l.moved <> p.amount_cents - r.taken
      when 'payout' then l.moved not in (-p.amount_cents, r.returned - p.amount_cents) else l.moved <> -p.amount_cents end)`,
  "a ledger entry without a success": `
    select l.payment_id as id from ledger_entries l where l.payment_id is not null and not exists (
      select from payments p where p.account_id = l.account_id and p.id = l.payment_id
        and (p.status = 'succeeded' or p.kind = 'refund'))`,
  "a milestone whose money is not in exactly one place": `
    select m.id from milestones m
    left join ledger_entries l on l.account_id = m.account_id and l.ledger_account = 'milestone:' || m.id
    group by m.account_id, m.id, m.status
    having coalesce(sum(l.amount_cents), 0) > 0
      or (coalesce(sum(l.amount_cents), 0) < 0) <> (m.status = 'ACTIVE_FUNDED')`,
  "a movement that does not sum to zero": `
    select transaction_id as id from ledger_entries group by account_id, transaction_id having sum(amount_cents) <> 0`,
  "a confirmed approval out of step with payment, milestone or invoice": `
    select v.id from approvals v where v.status = 'confirmed' and v.type = 'milestone_fund'
      and v.result->>'paymentIntentId' is not null and not exists (
      select from payments p
      join milestones m on m.account_id = p.account_id and m.id = p.milestone_id
      where p.account_id = v.account_id and p.approval_id = v.id and p.status = 'succeeded'
        and p.intent_id = v.result->>'paymentIntentId' and p.amount_cents = (v.terms->>'amountCents')::bigint
        and m.id = v.milestone_id and m.status in ('ACTIVE_FUNDED', 'PAID', 'REFUNDED')
        and m.invoice_id = v.result->>'invoiceId')`,
  "a funding from credits out of step with its hold, milestone or invoice": `
    select v.id from approvals v where v.status = 'confirmed' and v.type = 'milestone_fund'
      and v.result->>'paymentIntentId' is null and not exists (
      select from credit_entries e
      join milestones m on m.account_id = e.account_id and m.id = e.milestone_id
      join invoices i on i.account_id = e.account_id and i.approval_id = v.id and i.status in ('paid', 'refunded')
      where e.account_id = v.account_id and e.approval_id = v.id and e.type = 'HOLD'
        and e.reserved_cents = (v.terms->>'amountCents')::bigint and m.id = v.milestone_id
        and m.status in ('ACTIVE_FUNDED', 'PAID', 'REFUNDED') and m.invoice_id = v.result->>'invoiceId'
        and i.id::text = m.invoice_id)`,
  "a balance of credits that is not what its entries and the ledger sum up to": `
    select b.account_id as id from credit_balances b
    left join lateral (
      select coalesce(sum(amount_cents), 0) as available, coalesce(sum(reserved_cents), 0) as reserved, count(*) as entries
      from credit_entries e where e.account_id = b.account_id
    ) e on true
    left join lateral (
      select coalesce(sum(amount_cents), 0) as credits from ledger_entries l
      where l.account_id = b.account_id and l.ledger_account = 'credits'
    ) l on true
    where b.available_cents <> e.available or b.reserved_cents <> e.reserved or b.last_entry <> e.entries
      or b.available_cents <> -l.credits`,
  "a hold without all the signatures that it needed": `
    select e.id from credit_entries e
    left join credit_signatures u on u.account_id = e.account_id and u.entry_id = e.id
    left join signatures s on s.account_id = u.account_id and s.approval_id = u.approval_id
      and s.statement_digest = u.statement_digest and s.user_id = u.user_id and s.decision = 'confirm'
    where e.type in ('HOLD', 'HOLD_RELEASE')
    group by e.account_id, e.id having count(s.user_id) = 0 or count(s.user_id) < max(s.signers_required)`,
  "a completed top-up without its one entry, or paid otherwise than by its page": `
    select t.id from top_ups t where t.status = 'COMPLETED' and (1 <> (
      select count(*) from credit_entries e where e.account_id = t.account_id and e.top_up_id = t.id and e.type = 'TOP_UP'
        and e.amount_cents = t.amount_cents
    ) or not exists (
      select from charges c where c.account_id = t.account_id and c.intent_id = t.intent_id and c.status = 'succeeded'))`,
  "a confirmed release out of step with payout, milestone or invoice": `
    select v.id from approvals v where v.status = 'confirmed' and v.type = 'milestone_approve' and not exists (
      select from payments p
      join milestones m on m.account_id = p.account_id and m.id = p.milestone_id
      join invoices i on i.account_id = p.account_id and i.payment_id = p.id and i.id::text = v.result->>'invoiceId'
      where p.account_id = v.account_id and p.approval_id = v.id and p.kind = 'payout' and p.status = 'succeeded'
        and p.sent_id = v.result->>'payoutTransactionId' and m.id = v.milestone_id)`,
  "a confirmed end of a contract that goes on, or without all its refunds": `
    select v.id from approvals v join contracts c on c.account_id = v.account_id and c.id = v.contract_id
    where v.status = 'confirmed' and v.type = 'contract_end' and (c.status <> 'ended' or
      jsonb_array_length(v.terms->'refunds') <> (
        select count(*) from refunds r join milestones m on m.account_id = r.account_id and m.id = r.milestone_id
        where r.account_id = v.account_id and r.approval_id = v.id and m.status = 'REFUNDED'))`,
  "a milestone that was paid out or back twice": `
    select milestone_id as id from payments p where kind <> 'charge' and status = 'succeeded' and not exists (
      select from reversals r where r.account_id = p.account_id and r.payment_id = p.id and r.kind = 'returned_payout')
    group by account_id, milestone_id having count(*) > 1`,
  "a success whose approval is not confirmed": `
    select p.id from payments p join approvals v on v.account_id = p.account_id and v.id = p.approval_id
    where p.status = 'succeeded' and p.kind <> 'refund' and v.status <> 'confirmed'`,
  "a funded milestone without a confirmed approval": `
    select m.id from milestones m where m.status = 'ACTIVE_FUNDED' and 1 <> (
      select count(*) from approvals v where v.account_id = m.account_id and v.milestone_id = m.id
        and v.type = 'milestone_fund' and v.status = 'confirmed')`,
  "a confirmation without a signature": `
    select v.id from approvals v where v.status = 'confirmed' and not exists (
      select from signatures s where s.account_id = v.account_id and s.approval_id = v.id and s.decision = 'confirm')`,
  "a payment attempt without all the signatures that it needed": `
    select p.id from payments p
    left join payment_signatures u on u.account_id = p.account_id and u.payment_id = p.id
    left join signatures s on s.account_id = u.account_id and s.approval_id = u.approval_id
      and s.statement_digest = u.statement_digest and s.user_id = u.user_id and s.approval_id = p.approval_id
      and s.decision = 'confirm'
    group by p.account_id, p.id having count(s.user_id) = 0 or count(s.user_id) < max(s.signers_required)`,
  "an approval whose end the feed does not tell exactly once": `
    select v.id from approvals v left join events e on e.account_id = v.account_id
      and e.type = 'approval.confirmed' and e.resource_id = v.id::text
    group by v.account_id, v.id, v.status
    having count(e.number) <> (v.status <> 'pending')::integer or bool_or(e.data->>'status' <> v.status)`,
  "a milestone whose funding, and each return of it, the feed does not tell exactly once": `
    select m.id from milestones m left join events e on e.account_id = m.account_id and e.resource_id = m.id
      and e.type = 'milestone.status_changed' and e.data->>'status' = 'ACTIVE_FUNDED'
    group by m.account_id, m.id, m.status
    having count(e.number) <> (m.status in ('ACTIVE_FUNDED', 'PAID', 'REFUNDED'))::integer + (
      select count(*) from payments p
      join reversals r on r.account_id = p.account_id and r.payment_id = p.id and r.kind = 'returned_payout'
      where p.account_id = m.account_id and p.milestone_id = m.id)`,
  "a gap in a feed": `
    select account_id as id from (
      select h.account_id, e.number, h.last_event,
        e.number - lag(e.number, 1, h.first_event - 1) over (partition by h.account_id order by e.number) as step
      from account_heads h left join events e on e.account_id = h.account_id
    ) steps
    group by account_id, last_event
    having bool_or(step <> 1 and step < 1000000000) or coalesce(max(number), 0) <> last_event`,
  "a milestone, approval and payment that are not under way together": `
    select coalesce(x.approval_id, v.id, p.approval_id) as id from executing_milestones x
    full join (select * from approvals where executing_at is not null) v
      on v.account_id = x.account_id and v.id = x.approval_id
        and coalesce(v.milestone_id, x.milestone_id) = x.milestone_id
    full join (select * from payments where status not in ('succeeded', 'refused')) p
      on p.account_id = v.account_id and p.approval_id = v.id
    where x.approval_id is null or v.id is null or p.id is null`,
};

/** A processor's books, as far as they are compared with the service's. */
export type ProcessorBooks = {
  charges: {
    id: string;
    intent_id: string;
    account_id: string | null;
    /** What was charged, and what of it somebody at the processor has not refunded. */
    gross_cents: number;
    amount_cents: number;
    currency: string;
    status: string;
    metadata: object;
  }[];
  intents: { id: string; account_id: string | null; status: string }[];
};

/** Stripe's books as the test compares them. */
export function booksOf({ books }: FakeStripe): ProcessorBooks {
  // What a refund of the service's own has taken is an attempt of its own there.
  const refundedByUs = (charge: string) =>
    [...books.refunds.values()]
      .filter(
        (refund) => refund.charge === charge && refund.metadata?.attemptId && refund.status !== "failed",
      )
      .reduce((sum, { amount }) => sum + amount, 0);
  const accountOf = (metadata: Record<string, string>) => metadata.accountId ?? null;
  return {
    charges: [...books.charges.values()].map((charge) => ({
      id: charge.id,
      intent_id: String(charge.payment_intent),
      account_id: accountOf(charge.metadata),
      gross_cents: charge.amount,
      amount_cents: charge.amount - charge.amount_refunded + refundedByUs(charge.id),
      currency: charge.currency,
      status: charge.status,
      metadata: charge.metadata,
    })),
    intents: [...books.intents.values()].map(({ intent }) => ({
      id: intent.id,
      account_id: accountOf(intent.metadata),
      status: intent.status,
    })),
  };
}

/** The sandbox's books are in the database; what a test's Stripe holds is brought into it. */
function withBooks(books: ProcessorBooks | undefined) {
  if (books === undefined) {
    return sql`with charges as (select *, amount_cents as gross_cents from sandbox.charges), intents as (select * from sandbox.intents)`;
  }
  return sql`
    with charges as (
      select * from jsonb_to_recordset(${JSON.stringify(books.charges)}::jsonb) as c(id text, intent_id text,
        account_id uuid, gross_cents bigint, amount_cents bigint, currency text, status text, metadata jsonb)
    ), intents as (
      select * from jsonb_to_recordset(${JSON.stringify(books.intents)}::jsonb) as i(id text, account_id uuid,
        status text)
    )`;
}

/**
 * What is wrong with the books of a whole database, one line a fault. Looks at one moment.
 * @param books the processor's, if it is not the sandbox
 */
export async function findFaults(db: Db, books?: ProcessorBooks): Promise<string[]> {
  return db
    .transaction()
    .setIsolationLevel("repeatable read")
    .execute(async (trx) => {
      await gatherRows(trx);
      const found: string[] = [];
      for (const [fault, query] of Object.entries(FAULTS)) {
        const { rows } = await sql<{ id: string }>`${withBooks(books)} ${sql.raw(query)}`.execute(trx);
        found.push(...rows.map(({ id }) => `${fault}: ${id}`));
      }
      return found;
    });
}

/** Brings what is distributed into tables of this connection alone: a cluster does not join freely. */
async function gatherRows(trx: Trx): Promise<void> {
  const found = await sql<{ cluster: boolean }>`
    select to_regclass('pg_dist_partition') is not null as cluster`.execute(trx);
  if (found.rows[0]?.cluster !== true) return;
  const { rows } = await sql<{
    name: string;
  }>`select logicalrelid::text as name from pg_dist_partition`.execute(trx);
  for (const { name } of rows)
    await sql`create temp table ${sql.id(name)} on commit drop as select * from ${sql.id("public", name)}`.execute(
      trx,
    );
}

/** How many payments are in each state, and what they come to. */
export async function readTotals(db: Db, books?: ProcessorBooks) {
  const { rows } = await sql<{
    succeeded: number;
    charged: number;
    invoiced: number;
    booked: number;
    sum: number;
  }>`
    ${withBooks(books)}
    select
      (select coalesce(sum(amount_cents), 0)::bigint from payments where status = 'succeeded') as succeeded,
      (select coalesce(sum(amount_cents), 0)::bigint from charges where status = 'succeeded') as charged,
      (select coalesce(sum(amount_cents), 0)::bigint from invoices where status in ('paid', 'refunded')) as invoiced,
      (select coalesce(sum(amount_cents), 0)::bigint from ledger_entries where ledger_account = 'processor') as booked,
      (select coalesce(sum(amount_cents), 0)::bigint from ledger_entries) as sum`.execute(db);
  const [totals] = rows;
  if (totals === undefined) throw new TypeError("a select of sums has one row");
  return totals;
}
