import { sql } from "kysely";
import { notBefore } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import type { ContractStatus, Database, MilestoneStatus } from "../database/schema.ts";
import { together } from "../database/transaction.ts";

export type MilestoneRow = Omit<Database["milestones"], "account_id"> & { pending_approval: boolean };

const columnsOf = (accountId: string) => sql<MilestoneRow>`
  m.id, m.contract_id, m.number, m.name, m.description, m.amount_cents, m.currency, m.volume, m.due_at, m.status,
  m.invoice_id, m.revision, m.created_at, m.updated_at,
  exists (
    select from approvals a
    where a.account_id = ${accountId} and a.subject_id = m.id and a.status = 'pending'
      and a.type in ('milestone_fund', 'milestone_approve')
      and (a.expires_at > now() or a.executing_at is not null)
  ) as pending_approval`;

/** Excludes cancelled and refunded milestones, which answers leave out. */
const VISIBLE = sql`m.status not in ('CANCELLED', 'REFUNDED')`;

/** The visible milestones of the contracts, by number. */
export async function listMilestones(db: Db, accountId: string, contractIds: readonly string[]) {
  const { rows } = await sql<MilestoneRow>`
    select ${columnsOf(accountId)} from milestones m
    where m.account_id = ${accountId} and m.contract_id = any(${contractIds}::text[]) and ${VISIBLE}
    order by m.contract_id, m.number`.execute(db);
  return rows;
}

/** The account's milestones of every status, newest first. @param before the place at which the page before ended */
export async function listMilestonePage(
  db: Db,
  accountId: string,
  before: { at: Date; id: string } | undefined,
  limit: number,
): Promise<MilestoneRow[]> {
  const after = before === undefined ? sql`` : sql`and (m.created_at, m.id) < (${before.at}, ${before.id})`;
  const { rows } = await sql<MilestoneRow>`
    select ${columnsOf(accountId)} from milestones m where m.account_id = ${accountId} ${after}
    order by m.created_at desc, m.id desc limit ${limit}`.execute(db);
  return rows;
}

export type Measure = { count: number; bytes: number };

/**
 * The number of visible milestones of a contract, and the bytes of their text. Reads no text: its length is stored
 * apart.
 */
export async function measureMilestones(trx: Trx, accountId: string, contractId: string): Promise<Measure> {
  const { rows } = await sql<Measure>`
    select count(*) as count, coalesce(sum(octet_length(m.description) + coalesce(octet_length(m.name), 0)), 0) as bytes
    from milestones m
    where m.account_id = ${accountId} and m.contract_id = ${contractId} and ${VISIBLE}`.execute(trx);
  return rows[0] ?? { count: 0, bytes: 0 };
}

/** About what a contract and a milestone take in an answer, without a milestone's text. */
const CONTRACT_BYTES = 1_000;
const MILESTONE_BYTES = 400;

/**
 * About how many bytes the list of the account's contracts has, with their milestones. Reads no more than it takes to say
 * that they are more than `atMost`.
 */
export async function measureList(
  db: Db,
  accountId: string,
  { jobId, status }: { jobId?: string; status?: ContractStatus },
  atMost: number,
): Promise<number> {
  // Each row adds a milestone or a contract. `offset 0`: contract by contract, as Postgres would else read all milestones first.
  const { rows } = await sql<{ bytes: number }>`
    select (${CONTRACT_BYTES}::bigint * count(distinct id) + coalesce(sum(bytes), 0))::bigint as bytes from (
      select c.id, m.bytes from contracts c
      left join lateral (
        select ${MILESTONE_BYTES} + octet_length(m.description) + coalesce(octet_length(m.name), 0) as bytes
        from milestones m
        where m.account_id = ${accountId} and m.contract_id = c.id and ${VISIBLE} offset 0
      ) m on true
      where c.account_id = ${accountId} ${jobId === undefined ? sql`` : sql`and c.job_id = ${jobId}`}
        ${status === undefined ? sql`` : sql`and c.status = ${status}`}
      limit ${Math.ceil(atMost / MILESTONE_BYTES) + 1}
    ) held`.execute(db);
  return rows[0]?.bytes ?? 0;
}

export async function findMilestone(db: Db, accountId: string, id: string) {
  const { rows } = await sql<MilestoneRow>`
    select ${columnsOf(accountId)} from milestones m where m.account_id = ${accountId} and m.id = ${id}`.execute(
    db,
  );
  return rows[0];
}

/** Locks the milestone against fund requests and other writers until the transaction ends. */
export async function lockMilestone(
  trx: Trx,
  accountId: string,
  id: string,
): Promise<MilestoneRow | undefined> {
  // Read afterwards: Citus refuses a lock in a statement with a subquery.
  const [, row] = await together(
    sql`select 1 from milestones where account_id = ${accountId} and id = ${id} for no key update`.execute(
      trx,
    ),
    findMilestone(trx, accountId, id),
  );
  return row;
}

/** Whether money is moving for the milestone, or for any milestone of the contract. */
export async function isExecuting(
  trx: Trx,
  accountId: string,
  subject: { milestoneId: string } | { contractId: string },
): Promise<boolean> {
  const condition =
    "milestoneId" in subject
      ? sql`m.id = ${subject.milestoneId}`
      : sql`m.contract_id = ${subject.contractId}`;
  const { rows } = await sql`
    select 1 from executing_milestones x
    join milestones m on m.account_id = x.account_id and m.id = x.milestone_id
    where x.account_id = ${accountId} and m.account_id = ${accountId} and ${condition} limit 1`.execute(trx);
  return rows.length > 0;
}

/** The contract's funded milestones. */
export async function listFunded(trx: Trx, accountId: string, contractId: string): Promise<string[]> {
  const rows = await trx
    .selectFrom("milestones")
    .where("account_id", "=", accountId)
    .where("contract_id", "=", contractId)
    .where("status", "=", "ACTIVE_FUNDED")
    .select("id")
    .orderBy("number")
    .execute();
  return rows.map(({ id }) => id);
}

export type MilestoneValues = {
  contractId: string;
  name: string | null;
  description: string;
  amountCents: number;
  volume: number | null;
  dueAt: Date | null;
};

/** The next number of the contract's milestones. The caller holds the contract, so that no two get the same number. */
export async function nextMilestoneNumber(trx: Trx, accountId: string, contractId: string): Promise<number> {
  const { last } = await trx
    .selectFrom("milestones")
    .where("account_id", "=", accountId)
    .where("contract_id", "=", contractId)
    .select((select) => select.fn.max<number | null>("number").as("last"))
    .executeTakeFirstOrThrow();
  return (last ?? 0) + 1;
}

/** @returns `false` when a milestone of that id was created meanwhile */
export async function insertMilestone(
  trx: Trx,
  accountId: string,
  id: string,
  values: MilestoneValues,
  made: { number: number; now: Date },
): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await trx
    .insertInto("milestones")
    .values({
      account_id: accountId,
      id,
      ...milestoneColumns(values),
      number: made.number,
      currency: "usd",
      status: "NOT_FUNDED",
      invoice_id: null,
      revision: 1,
      created_at: made.now,
      updated_at: made.now,
    })
    .onConflict((conflict) => conflict.columns(["account_id", "id"]).doNothing())
    .executeTakeFirstOrThrow();
  return numInsertedOrUpdatedRows !== 0n;
}

export async function updateMilestone(
  trx: Trx,
  accountId: string,
  id: string,
  values: MilestoneValues,
  change: { number: number; revision: number; now: Date },
): Promise<void> {
  await trx
    .updateTable("milestones")
    .set({
      ...milestoneColumns(values),
      number: change.number,
      revision: change.revision,
      updated_at: notBefore("updated_at", change.now),
    })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .execute();
}

/** One step of a milestone's life, from exactly one state. @returns `false` when it was not in that state */
export async function moveMilestone(
  trx: Trx,
  accountId: string,
  id: string,
  step: { from: MilestoneStatus; to: MilestoneStatus; now: Date; invoiceId?: string },
): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable("milestones")
    .set({
      status: step.to,
      updated_at: notBefore("updated_at", step.now),
      ...(step.invoiceId === undefined ? {} : { invoice_id: step.invoiceId }),
    })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("status", "=", step.from)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

export function milestoneColumns(values: MilestoneValues) {
  return {
    contract_id: values.contractId,
    name: values.name,
    description: values.description,
    amount_cents: values.amountCents,
    volume: values.volume,
    due_at: values.dueAt,
  };
}
