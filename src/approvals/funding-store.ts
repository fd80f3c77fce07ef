import { CompiledQuery, sql } from "kysely";
import {
  GRANT_COLUMNS,
  GRANT_PARAMETERS,
  GRANT_TABLES,
  type Grant,
  grantCondition,
} from "../accounts/service.ts";
import { ASKER_COLUMNS } from "../accounts/token-service.ts";
import { FUNDING_TERMS_COLUMNS } from "../contracts/service.ts";
import { inBatches } from "../database/batches.ts";
import type { Db, Trx } from "../database/connection.ts";
import { isDistributed } from "../database/distribution.ts";
import type { Asker, ContractStatus, CoSign, MilestoneStatus } from "../database/schema.ts";
import { batchedRead, statementForMany, statementForOne } from "../database/statements.ts";
import type { Credential } from "../lib/secrets.ts";
import type { FundingTerms } from "../lib/statement.ts";

/** All that the gates and rules of a fund request need, and what `readFundingTerms` reads. Null: absent. */
export type FundingRow = Grant & {
  milestoneId: string | null;
  milestoneStatus: MilestoneStatus;
  milestoneRevision: number;
  contractId: string;
  contractStatus: ContractStatus;
  contractRevision: number;
  jobId: string;
  hasCard: boolean;
  paymentsPaused: boolean;
  askerKind: Asker["kind"];
  askerName: string | null;
  askerNamedItself: boolean;
  approvalId: string | null;
  approvalCreatedAt: Date;
  approvalExpiresAt: Date;
  approvalExecuting: boolean;
};

const FUNDING_PARAMETERS = { ...GRANT_PARAMETERS, milestoneId: "text" } as const;

// One round trip by primary keys, whatever the answer.
const selectFunding = batchedRead<typeof FUNDING_PARAMETERS, FundingRow>(
  FUNDING_PARAMETERS,
  (names) => `
    select ${GRANT_COLUMNS},
      m.id as "milestoneId", m.status as "milestoneStatus", m.revision as "milestoneRevision",
      c.id as "contractId", c.status as "contractStatus", c.revision as "contractRevision", c.job_id as "jobId",
      ${FUNDING_TERMS_COLUMNS},
      p.id is not null as "hasCard", (select paused from payment_pause) as "paymentsPaused", ${ASKER_COLUMNS},
      v.id as "approvalId", v.created_at as "approvalCreatedAt", v.expires_at as "approvalExpiresAt",
      v.executing_at is not null as "approvalExecuting"
    from ${GRANT_TABLES}
    left join milestones m on m.account_id = t.account_id and m.id = ${names.milestoneId}
    left join contracts c on c.account_id = t.account_id and c.id = m.contract_id
    left join payment_methods p on p.account_id = t.account_id and p.is_default
    left join approvals v on v.account_id = t.account_id and v.type = 'milestone_fund'
      and v.subject_id = ${names.milestoneId} and v.status = 'pending'
    where ${grantCondition(names)}`,
);

/**
 * Reads the row of a fund request. `undefined`: no such token.
 * @param milestoneId null if the path cannot be an id
 */
export async function readFunding(
  db: Db,
  credential: Credential,
  milestoneId: string | null,
): Promise<FundingRow | undefined> {
  return (await selectFunding(db, { ...credential, milestoneId }))[0];
}

export type NewApproval = {
  id: string;
  terms: FundingTerms;
  termsDigest: Buffer;
  coSign: CoSign;
  secondSignerFromCents: number | null;
  token: { id: string; name: string; preview: string; rootId: string };
  asker: Asker;
  createdAt: Date;
  expiresAt: Date;
  milestoneRevision: number;
  contractRevision: number;
  /** Inserts nothing if the account, or the root token, has this many pending approvals. */
  waitingBelow: number;
  ofRootBelow: number;
};

// An expired one no longer counts, even if no sweep has flipped it yet.
const waiting = (accountId: string) => `from approvals o
  where o.account_id = ${accountId} and o.status = 'pending' and (o.expires_at > now() or o.executing_at is not null)`;

const INSERT_PARAMETERS = {
  accountId: "uuid",
  id: "uuid",
  terms: "jsonb",
  termsDigest: "bytea",
  coSign: "text",
  tokenId: "uuid",
  tokenName: "text",
  tokenPreview: "text",
  rootTokenId: "uuid",
  createdAt: "timestamptz",
  expiresAt: "timestamptz",
  asker: "jsonb",
  secondSignerFromCents: "bigint",
  milestoneId: "text",
  milestoneRevision: "integer",
  contractId: "text",
  contractRevision: "integer",
  waitingBelow: "integer",
  ofRootBelow: "integer",
} as const;
type Insertion = { [K in keyof typeof INSERT_PARAMETERS]: unknown } & { accountId: string; id: string };

// Locks contract, milestone and card FOR SHARE and checks their state again. A writer that cancels, ends or changes
// terms updates those rows first, then ends the approvals that it sees. Without the lock, 614 of 4,000 cancels in a
// trial left a live approval behind. The milestone's revision implies its contract; a condition on the contract would
// make Postgres read all its milestones.
const newApproval = (names: Record<keyof typeof INSERT_PARAMETERS, string>) => `
  select c.account_id, ${names.id}, 'milestone_fund', c.id, m.id, c.job_id, ${names.terms}, ${names.termsDigest},
    ${names.coSign}, ${names.tokenId}, ${names.tokenName}, ${names.tokenPreview}, ${names.rootTokenId},
    ${names.createdAt}, ${names.expiresAt}, ${names.createdAt}, ${names.asker}, ${names.secondSignerFromCents},
    c.title, m.name
  from contracts c
  join milestones m on m.account_id = c.account_id and m.id = ${names.milestoneId}
  join payment_methods p on p.account_id = c.account_id and p.is_default
  where c.account_id = ${names.accountId} and c.id = ${names.contractId} and c.status = 'active'
    and c.revision = ${names.contractRevision}
    and m.status = 'NOT_FUNDED' and m.revision = ${names.milestoneRevision}
    and (select count(*) < ${names.waitingBelow}
      and count(*) filter (where o.root_token_id = ${names.rootTokenId}) < ${names.ofRootBelow}
      ${waiting(names.accountId)})
  for share of c, m, p`;

const insertApprovals = (select: string) => `
  insert into approvals (account_id, id, type, contract_id, milestone_id, job_id, terms, terms_digest,
    co_sign, token_id, token_name, token_preview, root_token_id,
    created_at, expires_at, notify_at, asker, second_signer_from_cents, contract_title, milestone_name)
  ${select}
  on conflict (account_id, type, subject_id) where status = 'pending' do nothing
  returning id`;

const insertOne = statementForOne<typeof INSERT_PARAMETERS, { id: string }>(INSERT_PARAMETERS, (names) =>
  insertApprovals(newApproval(names)),
);
// In a batch, locked rows are skipped, so that no request waits for another's contract.
const insertOneUnlessHeld = statementForOne<typeof INSERT_PARAMETERS, { id: string }>(
  INSERT_PARAMETERS,
  (names) => insertApprovals(`${newApproval(names)} skip locked`),
);
const insertMany = statementForMany<typeof INSERT_PARAMETERS, { id: string }>(
  INSERT_PARAMETERS,
  (names, requests) =>
    insertApprovals(
      `select x.* from ${requests} cross join lateral (${newApproval(names)} skip locked) x order by r.position`,
    ),
);

/** Whether each was inserted. One that a batch did not insert is tried alone: a row was locked, or has changed. */
const insert = inBatches<Insertion, boolean>({
  async alone(db, insertion) {
    return (await insertOne(db, insertion)).length === 1;
  },
  async together(db, insertions) {
    const [only, ...others] = insertions;
    // Every batch locks its rows in the same order, so that two batches never deadlock.
    const inOrder = insertions.toSorted((a, b) => (a.accountId < b.accountId ? -1 : 1));
    const rows =
      only !== undefined && others.length === 0
        ? await insertOneUnlessHeld(db, only)
        : await insertMany(db, inOrder);
    const inserted = new Set(rows.map(({ id }) => id));
    return insertions.map(({ id }) => inserted.has(id) || undefined);
  },
  // One insert per account in a batch: a statement does not see its own rows, so the pending limit could be passed.
  groupOf: ({ accountId }) => accountId,
  // Of several accounts, each goes to its own node.
  fits: (db) => !isDistributed(db),
});

/** Inserts a pending approval. `false`: a row has changed, another request was first, or too many are pending. */
export function insertFundingApproval(db: Db, accountId: string, approval: NewApproval): Promise<boolean> {
  const { terms, token } = approval;
  return insert(db, {
    accountId,
    id: approval.id,
    terms: JSON.stringify(terms),
    termsDigest: approval.termsDigest,
    coSign: approval.coSign,
    tokenId: token.id,
    tokenName: token.name,
    tokenPreview: token.preview,
    rootTokenId: token.rootId,
    createdAt: approval.createdAt,
    expiresAt: approval.expiresAt,
    asker: JSON.stringify(approval.asker),
    secondSignerFromCents: approval.secondSignerFromCents,
    milestoneId: terms.milestoneId,
    milestoneRevision: approval.milestoneRevision,
    contractId: terms.contractId,
    contractRevision: approval.contractRevision,
    waitingBelow: approval.waitingBelow,
    ofRootBelow: approval.ofRootBelow,
  });
}

/** Serialises the requests of one account that is near its limit, until the transaction ends. */
export async function queueRequests(trx: Trx, accountId: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${accountId}, 0))`.execute(trx);
}

const COUNT_PENDING = `
  select count(*) as "all", count(*) filter (where o.root_token_id = $2) as "ofRoot" ${waiting("$1")}`;

/**
 * How many approvals of the account are pending, and how many of those the root token and its descendants requested.
 */
export async function countPending(
  db: Db,
  accountId: string,
  rootTokenId: string,
): Promise<{ all: number; ofRoot: number }> {
  const query = CompiledQuery.raw(COUNT_PENDING, [accountId, rootTokenId]);
  const { rows } = await db.executeQuery<{ all: number; ofRoot: number }>(query);
  return rows[0] ?? { all: 0, ofRoot: 0 };
}
