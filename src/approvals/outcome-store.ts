import { sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";
import type { MoneyOutcomesTable, PaymentsTable, ReversalsTable } from "../database/schema.ts";

/** The accounts whose members are to be mailed what became of money, those that wait the longest first. */
export async function listAccountsToMail(db: Db, limit: number): Promise<string[]> {
  const { rows } = await sql<{ accountId: string }>`
    select account_id as "accountId" from money_outcomes group by account_id order by min(created_at) limit ${limit}`.execute(
    db,
  );
  return rows.map(({ accountId }) => accountId);
}

export type Outcome = {
  kind: MoneyOutcomesTable["kind"];
  approvalId: string;
  /** The attempt that was refused or came back; null for a confirmation. */
  paymentKind: PaymentsTable["kind"] | null;
  refusal: string | null;
  reversal: { kind: ReversalsTable["kind"]; amountCents: number; currency: string } | null;
};

/** Takes an account's outcomes, oldest first: whoever takes them mails them in the same transaction. */
export async function takeOutcomes(trx: Trx, accountId: string, limit: number): Promise<Outcome[]> {
  const { rows: taken } = await sql<MoneyOutcomesTable>`
    delete from money_outcomes where account_id = ${accountId} and id = any(array(
      select id from money_outcomes where account_id = ${accountId}
      order by created_at, id limit ${limit} for update skip locked
    )) returning *`.execute(trx);
  const outcomes: Outcome[] = [];
  for (const one of taken.toSorted((a, b) => time(a) - time(b))) {
    const payment = one.payment_id === null ? undefined : await readPayment(trx, accountId, one.payment_id);
    outcomes.push({
      kind: one.kind,
      approvalId: one.approval_id ?? payment?.approvalId ?? "",
      paymentKind: payment?.kind ?? null,
      refusal: payment?.refusal ?? null,
      reversal: one.reversal_id === null ? null : await readReversal(trx, accountId, one.reversal_id),
    });
  }
  return outcomes;
}

const time = ({ created_at }: { created_at: unknown }) => (created_at as Date).getTime();

function readPayment(trx: Trx, accountId: string, id: string) {
  return trx
    .selectFrom("payments")
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .select(["kind", "approval_id as approvalId", "refusal_message as refusal"])
    .executeTakeFirst();
}

async function readReversal(trx: Trx, accountId: string, id: string) {
  const row = await trx
    .selectFrom("reversals")
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .select(["kind", "amount_cents as amountCents", "currency"])
    .executeTakeFirst();
  return row ?? null;
}
