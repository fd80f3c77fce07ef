import { sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";
import type { CreditEntryType } from "../database/schema.ts";

export type CreditBalance = { availableCents: number; reservedCents: number };

/** The account's balances; zeros if it has no entry. */
export async function findBalance(db: Db, accountId: string): Promise<CreditBalance> {
  const row = await db
    .selectFrom("credit_balances")
    .where("account_id", "=", accountId)
    .select(["available_cents as availableCents", "reserved_cents as reservedCents"])
    .executeTakeFirst();
  return row ?? { availableCents: 0, reservedCents: 0 };
}

export type LockedBalance = CreditBalance & { lastEntry: number };

/** As `findBalance`, locked until the transaction ends: the account's entries are written one after the other. */
export async function lockBalance(trx: Trx, accountId: string): Promise<LockedBalance> {
  const { rows } = await sql<LockedBalance>`
    insert into credit_balances as b (account_id) values (${accountId})
    on conflict (account_id) do update set last_entry = b.last_entry
    returning available_cents as "availableCents", reserved_cents as "reservedCents", last_entry as "lastEntry"`.execute(
    trx,
  );
  const [row] = rows;
  if (row === undefined) throw new TypeError("the balance is there now");
  return row;
}

/** The subject of an approval's entry. */
export type CreditSubject = {
  approvalId: string;
  milestoneId: string;
  contractId: string;
  jobId: string;
};

export type NewEntry = {
  accountId: string;
  id: string;
  /** The next number, from the locked balance. */
  number: number;
  type: CreditEntryType;
  amountCents: number;
  reservedCents: number;
  holdEntryId?: string | undefined;
  subject?: CreditSubject | undefined;
  /** Where no approval is its cause. */
  milestoneId?: string | undefined;
  topUpId?: string | undefined;
  note?: string | undefined;
};

/** Inserts an entry; a trigger adds it to the balances. Lock the balance first. */
export async function insertEntry(trx: Trx, entry: NewEntry, now: Date): Promise<void> {
  const { subject } = entry;
  await trx
    .insertInto("credit_entries")
    .values({
      account_id: entry.accountId,
      id: entry.id,
      number: entry.number,
      type: entry.type,
      amount_cents: entry.amountCents,
      reserved_cents: entry.reservedCents,
      hold_entry_id: entry.holdEntryId ?? null,
      approval_id: subject?.approvalId ?? null,
      job_id: subject?.jobId ?? null,
      contract_id: subject?.contractId ?? null,
      milestone_id: subject?.milestoneId ?? entry.milestoneId ?? null,
      top_up_id: entry.topUpId ?? null,
      note: entry.note ?? null,
      created_at: now,
    })
    .execute();
}

export type Hold = { id: string; amountCents: number; contractId: string; jobId: string };

/** A milestone's open hold. */
export async function findOpenHold(db: Db, accountId: string, milestoneId: string) {
  const { rows } = await sql<Hold>`
    select h.id, h.reserved_cents as "amountCents", h.contract_id as "contractId", h.job_id as "jobId"
    from credit_entries h
    where h.account_id = ${accountId} and h.milestone_id = ${milestoneId} and h.type = 'HOLD' and not exists (
      select from credit_entries e where e.account_id = h.account_id and e.hold_entry_id = h.id
    )`.execute(db);
  return rows[0];
}

/** Whether money of the milestone has become credits. */
export async function hasRefund(db: Db, accountId: string, milestoneId: string): Promise<boolean> {
  const row = await db
    .selectFrom("credit_entries")
    .where("account_id", "=", accountId)
    .where("milestone_id", "=", milestoneId)
    .where("type", "=", "REFUND")
    .select("id")
    .executeTakeFirst();
  return row !== undefined;
}

const COLUMNS = [
  "id",
  "number",
  "type",
  "amount_cents as amountCents",
  "hold_entry_id as holdEntryId",
  "job_id as jobId",
  "contract_id as contractId",
  "milestone_id as milestoneId",
  "top_up_id as topUpId",
  "note",
  "created_at as createdAt",
] as const;

export type EntryRow = NonNullable<Awaited<ReturnType<typeof findEntry>>>;

export function findEntry(db: Db, accountId: string, id: string) {
  return db
    .selectFrom("credit_entries")
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .select(COLUMNS)
    .executeTakeFirst();
}

/** The account's entries, newest first. @param before return entries with a lower number */
export function listEntries(
  db: Db,
  accountId: string,
  { before, limit }: { before?: number | undefined; limit: number },
): Promise<EntryRow[]> {
  let query = db
    .selectFrom("credit_entries")
    .where("account_id", "=", accountId)
    .select(COLUMNS)
    .orderBy("number", "desc")
    .limit(limit);
  if (before !== undefined) query = query.where("number", "<", before);
  return query.execute();
}
