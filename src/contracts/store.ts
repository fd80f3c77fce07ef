import { sql } from "kysely";
import { notBefore } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import type { ContractStatus, Database, PaymentType } from "../database/schema.ts";

const CONTRACT_COLUMNS = [
  "id",
  "title",
  "job_id",
  "proposal_id",
  "payment_type",
  "rate_cents",
  "status",
  "freelancer_user_id",
  "freelancer_name",
  "freelancer_country",
  "freelancer_profile_path",
  "payout_account",
  "revision",
  "created_at",
  "updated_at",
  "ended_at",
] as const;

export type ContractRow = Pick<Database["contracts"], (typeof CONTRACT_COLUMNS)[number]>;

export function listContracts(
  db: Db,
  accountId: string,
  filter: { jobId?: string; status?: ContractStatus },
): Promise<ContractRow[]> {
  let query = db.selectFrom("contracts").where("account_id", "=", accountId).select(CONTRACT_COLUMNS);
  if (filter.jobId !== undefined) query = query.where("job_id", "=", filter.jobId);
  if (filter.status !== undefined) query = query.where("status", "=", filter.status);
  return query.orderBy("created_at", "desc").orderBy("id", "desc").execute();
}

export function findContract(db: Db, accountId: string, id: string): Promise<ContractRow | undefined> {
  return db
    .selectFrom("contracts")
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .select(CONTRACT_COLUMNS)
    .executeTakeFirst();
}

/** The payee's payout account of each contract, by contract id. */
export async function listPayoutAccounts(
  db: Db,
  accountId: string,
  ids: readonly string[],
): Promise<Map<string, string | null>> {
  const { rows } = await sql<{ id: string; payout_account: string | null }>`
    select id, payout_account from contracts where account_id = ${accountId} and id = any(${ids}::text[])`.execute(
    db,
  );
  return new Map(rows.map((row) => [row.id, row.payout_account]));
}

/** Locks the contract against fund requests and other writers until the transaction ends. */
export function lockContract(trx: Trx, accountId: string, id: string): Promise<ContractRow | undefined> {
  return trx
    .selectFrom("contracts")
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .select(CONTRACT_COLUMNS)
    .forNoKeyUpdate()
    .executeTakeFirst();
}

/** Locks a milestone's contract: shared, against its end and changes of its terms, or exclusively. */
export async function holdContractOf(trx: Trx, accountId: string, milestoneId: string, alone: boolean) {
  const { rows } = await sql<{ id: string; jobId: string; status: ContractStatus }>`
    select c.id, c.job_id as "jobId", c.status from milestones m
    join contracts c on c.account_id = m.account_id and c.id = m.contract_id
    where m.account_id = ${accountId} and m.id = ${milestoneId}
    for ${alone ? sql`no key update` : sql`share`} of c`.execute(trx);
  return rows[0];
}

/**
 * Ends a contract under which no money is held. The caller holds the contract.
 * @throws what the database says while money is held or moving under it (invariant 14)
 */
export async function endContract(trx: Trx, accountId: string, id: string, now: Date): Promise<void> {
  await trx
    .updateTable("contracts")
    .set({
      status: "ended",
      updated_at: notBefore("updated_at", now),
      ended_at: notBefore("updated_at", now),
    })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("status", "=", "active")
    .execute();
}

export type ContractValues = {
  title: string;
  jobId: string;
  proposalId: string | null;
  paymentType: PaymentType;
  rateCents: number | null;
  status: ContractStatus;
  freelancer: {
    userId: string;
    displayName: string;
    country: string | null;
    profilePath: string | null;
    payoutAccount: string | null;
  };
};

export function contractColumns(values: ContractValues) {
  return {
    title: values.title,
    job_id: values.jobId,
    proposal_id: values.proposalId,
    payment_type: values.paymentType,
    rate_cents: values.rateCents,
    status: values.status,
    freelancer_user_id: values.freelancer.userId,
    freelancer_name: values.freelancer.displayName,
    freelancer_country: values.freelancer.country,
    freelancer_profile_path: values.freelancer.profilePath,
    payout_account: values.freelancer.payoutAccount,
  };
}

/** @returns `false` when a contract of that id was created meanwhile */
export async function insertContract(
  trx: Trx,
  accountId: string,
  id: string,
  values: ContractValues,
  now: Date,
) {
  const { numInsertedOrUpdatedRows } = await trx
    .insertInto("contracts")
    .values({
      account_id: accountId,
      id,
      ...contractColumns(values),
      revision: 1,
      created_at: now,
      updated_at: now,
      ended_at: values.status === "ended" ? now : null,
    })
    .onConflict((conflict) => conflict.columns(["account_id", "id"]).doNothing())
    .executeTakeFirstOrThrow();
  return numInsertedOrUpdatedRows !== 0n;
}

export async function updateContract(
  trx: Trx,
  accountId: string,
  id: string,
  values: ContractValues,
  change: { revision: number; now: Date },
): Promise<void> {
  await trx
    .updateTable("contracts")
    .set({
      ...contractColumns(values),
      revision: change.revision,
      updated_at: notBefore("updated_at", change.now),
      ended_at: values.status === "ended" ? notBefore("updated_at", change.now) : null,
    })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("status", "=", "active")
    .execute();
}
