import type { Charge, ChargeRequest, Processor } from "../../src/billing/processor.ts";
import { findCustomer, readDatabaseId } from "../../src/billing/stripe-store.ts";
import type { Db } from "../../src/database/connection.ts";
import { newId } from "../../src/lib/ids.ts";

/** What a payment attempt would ask the processor for, by a key of its own. */
export async function composeRequest(
  db: Db,
  processor: Processor,
  charge: Omit<Charge, "databaseId" | "customerId">,
): Promise<ChargeRequest> {
  const { accountId } = charge;
  const names = {
    databaseId: await readDatabaseId(db),
    customerId: (await findCustomer(db, accountId)) ?? null,
  };
  return { accountId, key: newId(), body: processor.composeCharge({ ...charge, ...names }) };
}

/** Makes an intent as a lost answer leaves it behind: nothing refers to it. @returns its id */
export async function prepareLost(
  db: Db,
  processor: Processor,
  charge: Omit<Charge, "databaseId" | "customerId">,
): Promise<string> {
  const prepared = await processor.prepare(await composeRequest(db, processor, charge));
  if (prepared.status !== "prepared") throw new TypeError(prepared.status);
  return prepared.intentId;
}
