import { type RawBuilder, sql } from "kysely";
import { RELEASE_TERMS } from "../contracts/service.ts";
import type { Trx } from "../database/connection.ts";
import type { ApprovalType, Asker, ContractStatus, CoSign, MilestoneStatus } from "../database/schema.ts";
import type { ApprovalTerms, EndTerms, ReleaseTerms } from "../lib/statement.ts";
import { contractDispute, endTerms, milestoneDispute } from "./held-terms-store.ts";
import type { ApprovalRow } from "./store.ts";

/** What the rules of a request need of its subject, which is locked. */
export type RequestedSubject<T extends ApprovalTerms> = {
  contractId: string;
  contractStatus: ContractStatus;
  /** Null for a contract. */
  milestoneStatus: MilestoneStatus | null;
  jobId: string;
  payoutAccount: string | null;
  /** The state of a dispute that keeps held money from moving; null: none. */
  disputeStatus: string | null;
  /** Whether any action is executing on one of its milestones. */
  executing: boolean;
  paymentsPaused: boolean;
  terms: T;
  pending: Pick<ApprovalRow, "id" | "executing" | "createdAt" | "expiresAt"> | null;
};

const SHARED = sql`c.id as "contractId", c.status as "contractStatus", c.job_id as "jobId",
  c.payout_account as "payoutAccount", (select paused from payment_pause) as "paymentsPaused", v.id,
  v.executing_at is not null as "approvalExecuting", v.created_at as "createdAt", v.expires_at as "expiresAt"`;

type Row<T extends ApprovalTerms> = Omit<RequestedSubject<T>, "pending"> & {
  id: string | null;
  approvalExecuting: boolean;
  createdAt: Date;
  expiresAt: Date;
};

/** A milestone whose money is to be released. The caller has locked it and its contract. */
export async function readRelease(
  trx: Trx,
  accountId: string,
  milestoneId: string,
): Promise<RequestedSubject<ReleaseTerms>> {
  return read<ReleaseTerms>(
    trx,
    sql`select ${SHARED}, m.status as "milestoneStatus", ${milestoneDispute(accountId)} as "disputeStatus",
      ${sql.raw(RELEASE_TERMS)} as terms, x.milestone_id is not null as executing
    from milestones m
    join contracts c on c.account_id = m.account_id and c.id = m.contract_id
    left join executing_milestones x on x.account_id = m.account_id and x.milestone_id = m.id
    left join approvals v on v.account_id = m.account_id and v.type = 'milestone_approve' and v.subject_id = m.id
      and v.status = 'pending'
    where m.account_id = ${accountId} and m.id = ${milestoneId}`,
  );
}

/** A contract that is to end. The caller has locked it exclusively. */
export async function readEnd(
  trx: Trx,
  accountId: string,
  contractId: string,
): Promise<RequestedSubject<EndTerms>> {
  return read<EndTerms>(
    trx,
    sql`select ${SHARED}, null as "milestoneStatus", ${contractDispute(accountId)} as "disputeStatus",
      ${endTerms(accountId)} as terms, exists (
        select from executing_milestones x
        join milestones m on m.account_id = x.account_id and m.id = x.milestone_id
        where x.account_id = ${accountId} and m.contract_id = c.id
      ) as executing
    from contracts c
    left join approvals v on v.account_id = c.account_id and v.type = 'contract_end' and v.subject_id = c.id
      and v.status = 'pending'
    where c.account_id = ${accountId} and c.id = ${contractId}`,
  );
}

async function read<T extends ApprovalTerms>(
  trx: Trx,
  query: RawBuilder<unknown>,
): Promise<RequestedSubject<T>> {
  const { rows } = await sql<Row<T>>`${query}`.execute(trx);
  const [row] = rows;
  if (row === undefined) throw new TypeError("what is held is there");
  const { id, approvalExecuting: executing, createdAt, expiresAt, ...subject } = row;
  return { ...subject, pending: id === null ? null : { id, executing, createdAt, expiresAt } };
}

export type NewRequest = {
  id: string;
  type: ApprovalType;
  contractId: string;
  milestoneId: string | null;
  jobId: string;
  terms: ApprovalTerms;
  termsDigest: Buffer;
  coSign: CoSign;
  secondSignerFromCents: number | null;
  token: { id: string; name: string; preview: string; rootId: string };
  asker: Asker | undefined;
  createdAt: Date;
  expiresAt: Date;
};

/** Inserts a pending approval. Its subject is locked. */
export async function insertRequest(trx: Trx, accountId: string, request: NewRequest): Promise<void> {
  const { token, asker } = request;
  await trx
    .insertInto("approvals")
    .values({
      account_id: accountId,
      id: request.id,
      type: request.type,
      status: "pending",
      contract_id: request.contractId,
      milestone_id: request.milestoneId,
      job_id: request.jobId,
      terms: JSON.stringify(request.terms),
      terms_digest: request.termsDigest,
      co_sign: request.coSign,
      second_signer_from_cents: request.secondSignerFromCents,
      token_id: token.id,
      token_name: token.name,
      token_preview: token.preview,
      root_token_id: token.rootId,
      asker: asker === undefined ? null : JSON.stringify(asker),
      contract_title: sql`(select title from contracts where account_id = ${accountId} and id = ${request.contractId})`,
      milestone_name: sql`(select name from milestones where account_id = ${accountId} and id = ${request.milestoneId})`,
      executing_at: null,
      notify_at: request.createdAt,
      result: null,
      created_at: request.createdAt,
      expires_at: request.expiresAt,
      resolved_at: null,
    })
    .execute();
}

/** Locks an approval for its withdrawal. */
export async function holdRequest(
  trx: Trx,
  accountId: string,
  id: string,
): Promise<(ApprovalRow & { rootTokenId: string }) | undefined> {
  const { rows } = await sql<ApprovalRow & { rootTokenId: string }>`
    select id, type, status, contract_id as "contractId", milestone_id as "milestoneId", job_id as "jobId", result,
      executing_at is not null as executing, created_at as "createdAt", expires_at as "expiresAt",
      resolved_at as "resolvedAt", root_token_id as "rootTokenId"
    from approvals where account_id = ${accountId} and id = ${id} for no key update`.execute(trx);
  return rows[0];
}

/** Ends a pending approval that was withdrawn. The caller has locked it. */
export async function withdrawPending(trx: Trx, accountId: string, id: string, now: Date): Promise<void> {
  await sql`
    update approvals set status = 'expired', resolved_at = greatest(created_at, ${now}::timestamptz),
      result = jsonb_build_object('reason', 'withdrawn')
    where account_id = ${accountId} and id = ${id} and status = 'pending' and executing_at is null`.execute(
    trx,
  );
}
