import { sql } from "kysely";
import type { Db } from "../database/connection.ts";

/** Where an account's money is, in cents, each from its own rows. */
export type AccountSums = {
  accountId: string;
  paidIn: number;
  adjustments: number;
  /** Of funded milestones, without disputed money. */
  held: number;
  paidOut: number;
  goneBack: number;
  disputed: number;
  /** What was taken back after it was paid out, negative: the operator bears it. */
  lost: number;
  available: number;
  /** Credits held, by the balance and by the open entries. */
  reserved: number;
  openHolds: number;
  /** The ledger's sum of credits, and of all. */
  ledgerCredits: number;
  ledgerSum: number;
};

/** The sums of these accounts at one moment. */
export async function readSums(db: Db, accountIds: readonly string[]): Promise<AccountSums[]> {
  const { rows } = await sql<AccountSums>`
    select a.account_id as "accountId", (p."charged" + t."toppedUp")::bigint as "paidIn", e."adjustments",
      (-l."milestones" - r."disputed")::bigint as held, (p."paidOut" - r."payoutsReturned")::bigint as "paidOut",
      (p."refunded" - r."refundsReturned" + r."taken")::bigint as "goneBack", r."disputed", (-l."losses")::bigint as lost,
      coalesce(b.available_cents, 0)::bigint as available, coalesce(b.reserved_cents, 0)::bigint as reserved, e."openHolds",
      l."credits" as "ledgerCredits", l."sum" as "ledgerSum"
    from accounts a
    left join credit_balances b on b.account_id = a.account_id
    cross join lateral (
      select coalesce(sum(amount_cents) filter (where kind = 'charge'), 0)::bigint as "charged",
        coalesce(sum(amount_cents) filter (where kind = 'payout'), 0)::bigint as "paidOut",
        coalesce(sum(amount_cents) filter (where kind = 'refund'), 0)::bigint as "refunded"
      from payments where account_id = a.account_id and status = 'succeeded'
    ) p
    cross join lateral (
      select coalesce(sum(amount_cents), 0)::bigint as "toppedUp"
      from top_ups where account_id = a.account_id and status = 'COMPLETED'
    ) t
    cross join lateral (
      select coalesce(sum(x.amount_cents) filter (where x.type = 'ADJUSTMENT' and x.top_up_id is null
          and x.milestone_id is null), 0)::bigint as "adjustments",
        coalesce(sum(x.reserved_cents) filter (where x.type = 'HOLD' and not exists (
          select from credit_entries c where c.account_id = x.account_id and c.hold_entry_id = x.id)), 0)::bigint as "openHolds"
      from credit_entries x where x.account_id = a.account_id
    ) e
    cross join lateral (
      select coalesce(sum(taken_cents) filter (where kind in ('refund', 'dispute') and (final or top_up_id is not null)), 0)::bigint
          as "taken",
        coalesce(sum(taken_cents) filter (where kind in ('refund', 'dispute') and not final and top_up_id is null), 0)::bigint
          as "disputed",
        coalesce(sum(taken_cents) filter (where kind = 'returned_payout'), 0)::bigint as "payoutsReturned",
        coalesce(sum(taken_cents) filter (where kind = 'failed_refund'), 0)::bigint as "refundsReturned"
      from reversals where account_id = a.account_id
    ) r
    cross join lateral (
      select coalesce(sum(amount_cents) filter (where ledger_account like 'milestone:%'), 0)::bigint as "milestones",
        coalesce(sum(amount_cents) filter (where ledger_account = 'losses'), 0)::bigint as "losses",
        coalesce(sum(amount_cents) filter (where ledger_account = 'credits'), 0)::bigint as "credits",
        coalesce(sum(amount_cents), 0)::bigint as "sum"
      from ledger_entries where account_id = a.account_id
    ) l
    where a.account_id = any(${accountIds}::uuid[])`.execute(db);
  return rows;
}
