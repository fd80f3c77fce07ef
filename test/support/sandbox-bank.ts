import { sql } from "kysely";
import type { Db } from "../../src/database/connection.ts";

/** Fails a refund of the sandbox after it succeeded, as a bank may days later. */
export async function failRefund(db: Db, id: string, failureCode: string): Promise<void> {
  await sql`update sandbox.refunds set status = 'failed', failure_code = ${failureCode} where id = ${id}`.execute(
    db,
  );
}

/** Reverses a transfer of the sandbox in full. */
export async function reverseTransfer(db: Db, id: string): Promise<void> {
  await sql`update sandbox.transfers set reversed_cents = amount_cents where id = ${id}`.execute(db);
}
