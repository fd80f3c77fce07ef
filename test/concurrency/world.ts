import { randomBytes } from "node:crypto";
import { TOKEN_PREFIX } from "../../src/accounts/gate.ts";
import { readClock } from "../../src/database/clock.ts";
import type { Db } from "../../src/database/connection.ts";
import type { Terms } from "../../src/database/schema.ts";
import { canonicalDigest } from "../../src/lib/canonical.ts";
import { accountKey, newId } from "../../src/lib/ids.ts";
import { SCOPES } from "../../src/lib/scopes.ts";
import { newSecret } from "../../src/lib/secrets.ts";
import { addSeconds } from "../../src/lib/time.ts";

/** An account that can fund, with its milestones, each under a contract of its own unless said otherwise. */
export type World = {
  /** The operator's id for it, and the key of its rows. */
  account: string;
  accountId: string;
  token: string;
  tokenId: string;
  card: string;
  milestones: { id: string; contract: string; job: string }[];
};

export const DESCRIPTION = "Label 5,000 street scenes";
export const AMOUNT_CENTS = 45_000;

/**
 * Writes a world straight into the tables: six statements, where the operator's API would be asked once for
 * every milestone.
 */
export async function createWorld(
  db: Db,
  options: { milestones: number; perContract?: number },
): Promise<World> {
  const { milestones: count, perContract = 1 } = options;
  const name = randomBytes(6).toString("hex");
  const account = `acct-${name}`;
  const accountId = accountKey(account);
  const now = await readClock(db);
  const made = { account_id: accountId, created_at: now };
  const secret = newSecret(TOKEN_PREFIX, accountId);
  const milestones = Array.from({ length: count }, (_, i) => {
    const contract = `contract-${name}-${Math.floor(i / perContract)}`;
    return { id: `milestone-${name}-${i}`, contract, job: `job-${name}`, number: (i % perContract) + 1 };
  });
  const world = { account, accountId, token: secret.value, tokenId: newId(), card: `pm_${name}`, milestones };

  const features = JSON.stringify({ public_api_payments_write: true });
  await db
    .insertInto("accounts")
    .values({
      ...made,
      id: account,
      name: "Acme",
      claimed_at: now,
      features,
      billing: "card",
      co_sign: "session",
      updated_at: now,
    })
    .execute();
  await db
    .insertInto("account_heads")
    .values({
      account_id: accountId,
      first_event: 1,
      last_event: 0,
      chain_index: 0,
      chain_digest: Buffer.alloc(32),
    })
    .execute();
  await db
    .insertInto("contracts")
    .values(
      [...new Set(milestones.map(({ contract }) => contract))].map((id) => ({
        ...made,
        id,
        title: "Street scenes",
        job_id: `job-${name}`,
        proposal_id: null,
        payment_type: "FIXED_PRICE" as const,
        rate_cents: null,
        status: "active" as const,
        freelancer_user_id: "freelancer-1",
        freelancer_name: "Maria G.",
        freelancer_country: null,
        freelancer_profile_path: null,
        payout_account: null,
        revision: 1,
        updated_at: now,
        ended_at: null,
      })),
    )
    .execute();
  await db
    .insertInto("milestones")
    .values(
      milestones.map(({ id, contract, number }) => ({
        ...made,
        id,
        contract_id: contract,
        number,
        name: null,
        description: DESCRIPTION,
        amount_cents: AMOUNT_CENTS,
        currency: "usd",
        volume: null,
        due_at: null,
        status: "NOT_FUNDED" as const,
        invoice_id: null,
        revision: 1,
        updated_at: now,
      })),
    )
    .execute();
  await db
    .insertInto("payment_methods")
    .values({
      ...made,
      id: world.card,
      brand: "visa",
      last4: "4242",
      exp_month: 12,
      exp_year: 2030,
      is_default: true,
      removed_at: null,
    })
    .execute();
  await db
    .insertInto("tokens")
    .values({
      ...made,
      id: world.tokenId,
      name: "Test agent",
      digest: secret.digest,
      preview: secret.preview,
      scopes: [...SCOPES],
      minted_by: null,
      last_used_at: now,
      expires_at: null,
      revoked_at: null,
    })
    .execute();
  return world;
}

/**
 * Records for each milestone an approval whose 72 hours ended a second ago and which no sweep has seen. The
 * database refuses to edit an expiry, so it is inserted like that.
 * @returns the approvals' ids, in the milestones' order
 */
export async function insertExpired(db: Db, world: World): Promise<string[]> {
  const now = await readClock(db);
  const rows = world.milestones.map(({ id, contract, job }) => {
    const terms: Terms = {
      amountCents: AMOUNT_CENTS,
      currency: "usd",
      milestoneId: id,
      description: DESCRIPTION,
      contractId: contract,
      jobId: job,
      payee: { userId: "freelancer-1", displayName: "Maria G.", payoutAccount: null },
    };
    return {
      account_id: world.accountId,
      id: newId(),
      type: "milestone_fund" as const,
      status: "pending" as const,
      contract_id: contract,
      milestone_id: id,
      job_id: job,
      terms: JSON.stringify(terms),
      terms_digest: canonicalDigest(terms),
      co_sign: "session" as const,
      token_id: world.tokenId,
      token_name: "Test agent",
      token_preview: "ot_pat_test",
      root_token_id: world.tokenId,
      executing_at: null,
      result: null,
      created_at: addSeconds(now, -72 * 60 * 60 - 1),
      expires_at: addSeconds(now, -1),
      resolved_at: null,
    };
  });
  await db.insertInto("approvals").values(rows).execute();
  return rows.map((row) => row.id);
}
