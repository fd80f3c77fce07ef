import type { Db, Trx } from "../database/connection.ts";
import { Problem } from "../lib/problems.ts";
import { listOwners } from "./member-store.ts";
import { ABSENT_CAPABILITIES, type Capabilities, type JobDraftCapabilities, type Me } from "./schemas.ts";
import * as store from "./store.ts";

export type { AccountValues, Grant } from "./store.ts";
export {
  findAccount,
  GRANT_COLUMNS,
  GRANT_PARAMETERS,
  GRANT_TABLES,
  grantCondition,
  holdFrozen,
  insertAccount,
  readGrant,
} from "./store.ts";

/** Who is behind a token, and what it may do (docs/contract.md §6, `GET /auth/me`). */
export async function describeMe(db: Db, grant: store.Grant): Promise<Me> {
  const [owner] = await listOwners(db, grant.accountId);
  const [firstName = null, ...rest] = owner?.name.split(/\s+/) ?? [];
  return {
    actor: {
      userId: owner?.userId ?? null,
      email: owner?.email ?? null,
      firstName,
      lastName: rest.join(" ") || null,
      fullName: owner?.name ?? null,
      userType: "EMPLOYER",
    },
    token: {
      id: grant.tokenId,
      label: grant.tokenName,
      scopes: grant.scopes,
      ownerOrganizationId: grant.organizationId,
    },
    account: {
      kind: "employer_organization",
      organizationId: grant.organizationId,
      ownerUserId: owner?.userId ?? null,
      memberRole: owner === undefined ? null : owner.role.toUpperCase(),
      claimed: grant.claimed,
    },
  };
}

/** What is enabled for the account (docs/contract.md §6). */
export function describeCapabilities(grant: store.Grant): Capabilities {
  return {
    capabilities: {
      paymentsWrite: grant.features.public_api_payments_write === true,
      credits: grant.features.public_api_credits === true,
      webhooks: grant.features.public_api_webhooks === true,
    },
    features: grant.features,
    scopes: grant.scopes,
    claimed: grant.claimed,
  };
}

/** The same for agents that were written for the compatible API: true is only what is enabled and exists here. */
export function describeJobDraftCapabilities(grant: store.Grant): JobDraftCapabilities {
  const absent = Object.fromEntries(ABSENT_CAPABILITIES.map((name) => [name, false])) as Record<
    (typeof ABSENT_CAPABILITIES)[number],
    boolean
  >;
  return {
    featureKey: "public_api_job_drafting",
    namespace: "job-drafts",
    rolloutMode: "ALLOWLIST",
    actorIsAdmin: false,
    capabilities: { ...absent, ...describeCapabilities(grant).capabilities },
    draft: null,
    authBootstrap: "token",
    enabled: true,
  };
}

/** An account as the operator sees it. */
export type AccountRow = NonNullable<Awaited<ReturnType<typeof store.findAccount>>>;

/**
 * Reads an account.
 * @throws Problem not_found {resource: "accounts", accountId: the operator's id}
 */
export async function getAccount(db: Db, accountId: string, id: string): Promise<AccountRow> {
  const account = await store.findAccount(db, accountId);
  if (account === undefined) throw new Problem("not_found", { resource: "accounts", accountId: id });
  return account;
}

/** The account before and after a write. */
export type AccountChange = { before: AccountRow | undefined; after: store.AccountValues };

/**
 * Creates or changes an account, and locks it. `merge` computes the new values from the present ones.
 * @throws the errors of `merge`
 */
export async function saveAccount(
  trx: Trx,
  accountId: string,
  id: string,
  merge: (present: AccountRow | undefined, now: Date) => store.AccountValues,
  now: Date,
): Promise<AccountChange> {
  const present = await store.lockAccount(trx, accountId);
  if (present === undefined) {
    const after = merge(undefined, now);
    if (await store.insertAccount(trx, accountId, id, after, now)) return { before: undefined, after };
  }
  const before = present ?? (await store.lockAccount(trx, accountId));
  const after = merge(before, now);
  await store.updateAccount(trx, accountId, after, now);
  return { before, after };
}

/** Locks the account's row until the transaction ends, which serializes changes in the account. */
export async function holdAccount(trx: Trx, accountId: string): Promise<void> {
  await store.lockAccount(trx, accountId);
}

/**
 * Asserts that the account is not frozen, and locks that state until the transaction ends. A caller that changes the
 * account has locked it before.
 * @throws Problem account_frozen
 */
export async function assertNotFrozen(trx: Trx, accountId: string): Promise<void> {
  if (await store.holdFrozen(trx, accountId)) throw new Problem("account_frozen");
}

/** Whether the account is frozen at this moment, without a lock. */
export async function isFrozen(db: Db, accountId: string): Promise<boolean> {
  return (await store.findAccount(db, accountId))?.frozen === true;
}
