import { hash } from "node:crypto";
import type pg from "pg";
import { TOKEN_PREFIX } from "../src/accounts/gate.ts";
import { newSecret } from "../src/lib/secrets.ts";

/** From 50 pending approvals on an account queues its requests; and a milestone can be asked for once. */
export const MILESTONES = 40;
/** Numbers begin here, so that all ids are equally long. */
export const FIRST_ACCOUNT = 10_000;
export const FIRST_MILESTONE = 100;

export type Account = { number: number; accountId: string; token: string; digest: Buffer };

/** The milestone's id; accounts and milestones count from 0. */
export function milestoneId(account: Account, milestone: number): string {
  return `m-${account.number}-${FIRST_MILESTONE + milestone}`;
}

/**
 * Makes accounts that can fund: each claimed, with a card, a token, a contract and its milestones. An account's
 * UUID is the MD5 of its number, so that pgbench can compute it.
 */
export async function createAccounts(client: pg.Client, count: number): Promise<Account[]> {
  const made = Array.from({ length: count }, (_, i) => {
    const number = FIRST_ACCOUNT + i;
    const hex = hash("md5", String(number), "hex");
    const accountId = hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
    const { value, digest, preview } = newSecret(TOKEN_PREFIX, accountId);
    return { number, accountId, token: value, digest, preview };
  });
  const numbers = made.map((account) => account.number);
  await client.query(
    `insert into accounts (account_id, id, name, claimed_at, features, created_at, updated_at)
     select md5(n::text)::uuid, 'acct-' || n, 'Acme ' || n, now(), '{"public_api_payments_write": true}', now(), now()
     from unnest($1::integer[]) n`,
    [numbers],
  );
  await client.query("insert into account_heads (account_id) select account_id from accounts");
  await client.query(
    `insert into tokens (account_id, id, name, digest, preview, scopes, created_at)
     select md5(n::text)::uuid, md5(n::text)::uuid, 'Purchasing agent', digest, preview,
       '{payments:write,payments:read,jobs:read}', now()
     from unnest($1::integer[], $2::bytea[], $3::text[]) t (n, digest, preview)`,
    [numbers, made.map((account) => account.digest), made.map((account) => account.preview)],
  );
  await client.query(
    `insert into payment_methods (account_id, id, brand, last4, exp_month, exp_year, is_default, created_at)
     select account_id, 'pm_' || id, 'visa', '4242', 12, 2040, true, now() from accounts`,
  );
  await client.query(
    `insert into contracts (account_id, id, title, job_id, payment_type, status, freelancer_user_id,
       freelancer_name, created_at, updated_at)
     select md5(n::text)::uuid, 'contract-' || n, 'Street scenes', 'job-' || n, 'FIXED_PRICE', 'active',
       'freelancer-1', 'Maria G.', now(), now()
     from unnest($1::integer[]) n`,
    [numbers],
  );
  await client.query(
    `insert into milestones (account_id, id, contract_id, number, description, amount_cents, created_at, updated_at)
     select md5(n::text)::uuid, 'm-' || n || '-' || (${FIRST_MILESTONE} + i), 'contract-' || n, i + 1,
       'Label 5,000 street scenes, cars and people, as agreed', 45000, now(), now()
     from unnest($1::integer[]) n, generate_series(0, ${MILESTONES - 1}) i`,
    [numbers],
  );
  return made;
}
