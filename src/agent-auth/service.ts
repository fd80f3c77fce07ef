import { holdAccount, insertAccount } from "../accounts/service.ts";
import { mintToken, revokeSecret, TOKEN_PREFIX } from "../accounts/token-service.ts";
import { readClock, readClockNow } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { appendEvents } from "../events/service.ts";
import { accountKey, newId } from "../lib/ids.ts";
import type { RequestOrigin } from "../lib/origin.ts";
import { type Credential, newSecret, readSecret } from "../lib/secrets.ts";
import { addSeconds, DAY_SECONDS, MINUTE_SECONDS, SECOND } from "../lib/time.ts";
import { queueMail } from "../mail/service.ts";
import {
  CLAIM_PREFIX,
  claimState,
  codeDigest,
  LINK_PREFIX,
  newUserCode,
  PAGE_PREFIX,
} from "./claim-rules.ts";
import { type AgentLimits, createAgentLimits } from "./limits.ts";
import { claimMail } from "./mails.ts";
import { Refusal } from "./refusals.ts";
import { GRANT_TYPE, type Identity, POLL_INTERVAL, PRE_CLAIM_SCOPES, type StartedClaim } from "./schemas.ts";
import * as store from "./store.ts";

const WINDOW_SECONDS = DAY_SECONDS;
const ATTEMPT_SECONDS = 30 * MINUTE_SECONDS;
export const UNNAMED = "Unnamed agent";

export type AgentAuthConfig = {
  publicUrl: string;
  appName: string;
  defaultFeatures: readonly string[];
  smtpUrl: string | undefined;
  demo: boolean;
};
export type AgentAuthDeps = {
  db: Db;
  config: AgentAuthConfig;
  lookups: Lookups;
  agentLimits: AgentLimits;
};

/** Bounds the look-ups of claim tokens and of tokens to revoke, and notes what is known (docs/contract.md §0). */
export type Lookups = {
  /** @throws Problem rate_limited {retryAfterSeconds} */
  find<T>(
    credential: Credential,
    address: string,
    read: () => Promise<T | undefined>,
  ): Promise<T | undefined>;
  accept(credential: { digest: Buffer }): void;
  reject(credential: { digest: Buffer }): void;
};

/** Wires up agent authentication. Does no I/O. */
export function openAgentAuth(db: Db, config: AgentAuthConfig, lookups: Lookups): AgentAuthDeps {
  return { db, config, lookups, agentLimits: createAgentLimits(db) };
}

/** Whether people can claim, which needs mail; the demo shows its mail on a page. */
export function canClaim({ smtpUrl, demo }: AgentAuthConfig): boolean {
  return smtpUrl !== undefined || demo;
}

/** The endpoints of agent authentication. */
export function endpointsOf(publicUrl: string) {
  return {
    identity: `${publicUrl}/api/agent/identity`,
    claim: `${publicUrl}/api/agent/identity/claim`,
    token: `${publicUrl}/api/agent/oauth/token`,
    revocation: `${publicUrl}/api/agent/oauth/revoke`,
  };
}

/**
 * Creates an account for an unknown agent, with a token that can read and prepare until the window to claim the account
 * ends, and the claim token (docs/contract.md §6).
 * @throws Problem rate_limited {retryAfterSeconds}
 */
export async function registerAgent(
  { db, config, lookups, agentLimits }: AgentAuthDeps,
  agent: { agentName: string | null; organizationName: string | null },
  caller: { address: string; userAgent: string },
): Promise<Identity> {
  await agentLimits.countRegistration(caller.address);
  const id = newId();
  const accountId = accountKey(id);
  const claim = newSecret(CLAIM_PREFIX, accountId);
  const { token, expiresAt } = await inTransaction(db, async (trx, now) => {
    const window = addSeconds(now, WINDOW_SECONDS);
    const values = {
      name: agent.organizationName ?? agent.agentName ?? UNNAMED,
      claimedAt: null,
      features: Object.fromEntries(config.defaultFeatures.map((feature) => [feature, true])),
      billing: "card" as const,
      coSign: "session" as const,
      secondSignerFromCents: null,
      frozen: false,
    };
    await insertAccount(trx, accountId, id, values, now);
    const minted = await mintToken(
      trx,
      { accountId, organizationId: id },
      { name: agent.agentName ?? UNNAMED, scopes: PRE_CLAIM_SCOPES, expiresAt: window },
      { registered: true },
      now,
    );
    const registration = {
      accountId,
      tokenId: minted.metadata.id,
      agentName: agent.agentName,
      ...caller,
      claimDigest: claim.digest,
      pollInterval: POLL_INTERVAL,
      expiresAt: window,
    };
    await store.insertRegistration(trx, registration, now);
    const data = { agentName: agent.agentName, organizationName: agent.organizationName };
    const event = { type: "account.registered" as const, resourceId: id, jobId: null, data };
    await appendEvents(trx, accountId, [event], now);
    return { token: minted.token, expiresAt: window };
  });
  const access = readSecret(TOKEN_PREFIX, token);
  for (const given of [claim, access]) if (given !== undefined) lookups.accept(given);
  const endpoints = endpointsOf(config.publicUrl);
  return {
    identity_type: "anonymous",
    registration_id: id,
    access_token: token,
    token_type: "bearer",
    scopes: PRE_CLAIM_SCOPES,
    claim_token: claim.value,
    claim_token_expires_at: expiresAt.toISOString(),
    claim_endpoint: endpoints.claim,
    token_endpoint: endpoints.token,
    grant_type: GRANT_TYPE,
  };
}

/**
 * Names the human who is to claim the account, and mails them the secret for that. Replaces an open claim. The answer does
 * not show whether the e-mail has a sign-in.
 * @throws Refusal invalid_request; Problem rate_limited {retryAfterSeconds}
 */
export async function startClaim(
  deps: AgentAuthDeps,
  request: { claimToken: string; email: string },
  address: string,
): Promise<StartedClaim> {
  const { db, config, agentLimits } = deps;
  const email = request.email.toLowerCase();
  const found = await findClaim(deps, request.claimToken, address);
  if (found === undefined)
    throw new Refusal("invalid_request", "The claim_token is unknown. Register again.");
  const { credential, registration } = found;
  // Checked first, so that only mails that are sent count against the recipient.
  assertClaimable(registration, await readClock(db));
  await agentLimits.countNaming({ accountId: credential.accountId, address, email });
  const { accountId } = credential;
  const page = newSecret(PAGE_PREFIX, accountId);
  const link = newSecret(LINK_PREFIX, accountId);
  const code = newUserCode();
  const mailed = canClaim(config);
  const seconds = await inTransaction(db, async (trx) => {
    await holdAccount(trx, accountId);
    const now = await readClockNow(trx);
    const row = await store.findByClaimToken(trx, credential);
    if (row === undefined)
      throw new Refusal("invalid_request", "The claim_token is unknown. Register again.");
    assertClaimable(row, now);
    const left = Math.ceil((row.expiresAt.getTime() - now.getTime()) / SECOND);
    const lasts = Math.min(ATTEMPT_SECONDS, left);
    const attempt = {
      email,
      pageDigest: page.digest,
      codeDigest: codeDigest(link.value, code),
      linkDigest: link.digest,
      expiresAt: addSeconds(now, lasts),
    };
    await store.replaceAttempt(trx, accountId, attempt, now);
    await store.updatePolling(trx, accountId, { polledAt: null, pollInterval: POLL_INTERVAL });
    if (mailed) await queueMail(trx, claimMail(config, email, link.value), now, ATTEMPT_SECONDS);
    return lasts;
  });
  return {
    user_code: code,
    verification_uri: `${config.publicUrl}/claim?token=${page.value}`,
    expires_in: seconds,
    interval: POLL_INTERVAL,
    email_sent: mailed,
  };
}

function assertClaimable(row: store.RegistrationRow, now: Date): void {
  switch (claimState(row, now)) {
    case "claimed":
    case "taken":
      throw new Refusal("invalid_request", "The account has been claimed already.");
    case "window_over":
      throw new Refusal("invalid_request", "The 24 hours to claim this account are over. Register again.");
    default:
  }
}

/** The registration of a claim token. @throws Problem rate_limited {retryAfterSeconds} */
export async function findClaim(
  { db, lookups }: AgentAuthDeps,
  claimToken: string,
  address: string,
): Promise<{ credential: Credential; registration: store.RegistrationRow } | undefined> {
  const credential = readSecret(CLAIM_PREFIX, claimToken);
  if (credential === undefined) return undefined;
  const registration = await lookups.find(credential, address, () => store.findByClaimToken(db, credential));
  return registration && { credential, registration };
}

/**
 * Revokes an access token and its descendants (RFC 7009). The answer does not show whether it was valid.
 * @throws Problem rate_limited {retryAfterSeconds}
 */
export async function revokeAccessToken(
  { db, lookups }: AgentAuthDeps,
  token: string,
  origin: RequestOrigin,
): Promise<void> {
  const credential = readSecret(TOKEN_PREFIX, token);
  if (credential === undefined) return;
  const revoked = await lookups.find(credential, origin.address, () =>
    inTransaction(db, async (trx, now) =>
      (await revokeSecret(trx, credential, origin, now)) ? true : undefined,
    ),
  );
  if (revoked) lookups.reject(credential);
}
