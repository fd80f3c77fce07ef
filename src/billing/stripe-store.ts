import { sql } from "kysely";
import type { Db } from "../database/connection.ts";
import { isReferredTo } from "../database/transaction.ts";
import type { ProcessorName } from "./processor.ts";

/** Binds this database to a processor. `false`: it holds another's cards or payments; the database never mixes them. */
export async function claimProcessor(db: Db, processor: ProcessorName): Promise<boolean> {
  try {
    await db.updateTable("processor").set({ name: processor }).where("name", "<>", processor).execute();
    return true;
  } catch (error) {
    if (isReferredTo(error)) return false;
    throw error;
  }
}

/** The id that tells this database's intents from others on the same processor account. */
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

/** Stores the customer of an account. @returns the stored customer: another process may have been first */
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

/** Deletes a customer that the processor no longer knows. */
export async function forgetCustomer(db: Db, accountId: string, customerId: string): Promise<void> {
  await db
    .deleteFrom("processor_customers")
    .where("account_id", "=", accountId)
    .where("customer_id", "=", customerId)
    .execute();
}
