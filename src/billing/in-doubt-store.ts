import { sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";
import { addSeconds } from "../lib/time.ts";
import { COLUMNS, type PaymentKey, UNDECIDED } from "./payment-store.ts";

const DOUBTFUL_SECONDS = 15 * 60;
const DOUBTFUL = sql.raw(`interval '${DOUBTFUL_SECONDS} seconds'`);

/**
 * An attempt is in doubt once its outcome has been unknown for 15 minutes, or once the processor's record asks for a person.
 * Not in doubt is what a pause holds back, and what the processor has and its bank has not decided.
 */
const IN_DOUBT = sql<boolean>`(due_at is not null and (alerted_at is not null
  or (created_at <= now() - ${DOUBTFUL} and status in ('created', 'submitted', 'unknown')
    and not (status = 'created' and (select paused from payment_pause))
    and not (status = 'submitted' and sent_id is not null))))`;

/** When it came to be. */
const SINCE = sql<Date>`least(alerted_at, created_at + ${DOUBTFUL})`;

/** Since when an attempt is in doubt, as a column of a statement that reads `payments` alone: null while it is not. */
export const inDoubtSince = sql<Date | null>`case when ${IN_DOUBT} then ${SINCE} end`;

/** Told again after so long, for as long as it lasts. */
const IS_UNTOLD = sql<boolean>`coalesce(alerted_last_at, alerted_at, '-infinity') <= now() - interval '1 hour'`;

const AT_MOST = 100;

/** Attempts in doubt of which the operator was not told within the last hour. */
export function listInDoubt(db: Db): Promise<PaymentKey[]> {
  return db
    .selectFrom("payments")
    .where(IN_DOUBT)
    .where(IS_UNTOLD)
    .select(["account_id as accountId", "id"])
    .limit(AT_MOST)
    .execute();
}

/**
 * Marks that the operator is told of an attempt in doubt.
 * @returns the attempt, and since when; `undefined`: they were told within the last hour, or it is decided
 */
export async function markInDoubt(trx: Trx, { accountId, id }: PaymentKey, now: Date) {
  const row = await trx
    .updateTable("payments")
    .set({ alerted_at: sql<Date>`coalesce(alerted_at, ${now})`, alerted_last_at: now })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where(IS_UNTOLD)
    .where("status", "in", UNDECIDED)
    .returning([...COLUMNS, "alerted_at as alertedAt"])
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const { alertedAt, ...payment } = row;
  // A distributed database takes no sum of a column and an interval here.
  const late = addSeconds(payment.createdAt, DOUBTFUL_SECONDS);
  return { ...payment, inDoubtSince: alertedAt !== null && alertedAt < late ? alertedAt : late };
}

/** How many attempts are in doubt, 10,000 at most, and for how many seconds the first of them. */
export async function countInDoubt(db: Db): Promise<{ count: number; oldestSeconds: number }> {
  const { rows } = await sql<{ count: number; oldestSeconds: number }>`
    select count(*)::int as count, coalesce(extract(epoch from now() - min(since)), 0)::float8 as "oldestSeconds"
    from (select ${SINCE} as since from payments where ${IN_DOUBT} limit 10000) as doubtful`.execute(db);
  return rows[0] ?? { count: 0, oldestSeconds: 0 };
}
