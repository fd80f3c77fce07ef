import { sql } from "kysely";
import type { Db } from "../database/connection.ts";
import { isReferredTo } from "../database/transaction.ts";
import type { ProcessorName } from "./processor.ts";

/**
 * Makes these books a processor's. `false`: they hold another's cards or payments, and the database does not
 * let that be mixed.
 */
export async function claimProcessor(db: Db, processor: ProcessorName): Promise<boolean> {
  try {
    await db.updateTable("processor").set({ name: processor }).where("name", "<>", processor).execute();
    return true;
  } catch (error) {
    if (isReferredTo(error)) return false;
    throw error;
  }
}

/** What tells this database's intents from those of any other service on the same account of the processor. */
export async function readDatabaseId(db: Db): Promise<string> {
  return (await db.selectFrom("processor").select("id").executeTakeFirstOrThrow()).id;
}

export async function findCustomer(db: Db, accountId: string): Promise<string | undefined> {
  const row = await db
    .selectFrom("processor_customers")
    .where("account_id", "=", accountId)
    .select("customer_id")
    .executeTakeFirst();
  return row?.customer_id;
}

/** Keeps the customer that was made for an account, or the one that somebody else kept first. */
export async function keepCustomer(
  db: Db,
  accountId: string,
  customerId: string,
  now: Date,
): Promise<string> {
  await sql`
    insert into processor_customers (account_id, customer_id, created_at)
    values (${accountId}, ${customerId}, ${now}) on conflict do nothing`.execute(db);
  return (await findCustomer(db, accountId)) ?? customerId;
}

/** Forgets a customer that the processor no longer knows. */
export async function forgetCustomer(db: Db, accountId: string, customerId: string): Promise<void> {
  await db
    .deleteFrom("processor_customers")
    .where("account_id", "=", accountId)
    .where("customer_id", "=", customerId)
    .execute();
}
