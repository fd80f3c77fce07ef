import { holdAccount, insertAccount } from "../accounts/service.ts";
import { mintToken, revokeSecret, TOKEN_PREFIX } from "../accounts/token-service.ts";
import { readClock, readClockNow } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { appendEvents } from "../events/service.ts";
import { accountKey, newId } from "../lib/ids.ts";
import type { RequestOrigin } from "../lib/origin.ts";
import { type Credential, newSecret, readSecret } from "../lib/secrets.ts";
import { addSeconds, SECOND } from "../lib/time.ts";
import { queueMail } from "../mail/service.ts";
import {
  CLAIM_PREFIX,
  claimState,
  codeDigest,
  fetchableUntil,
  isRefused,
  LINK_PREFIX,
  newUserCode,
  PAGE_PREFIX,
} from "./claim.ts";
import { type AgentLimits, createAgentLimits } from "./limits.ts";
import { claimMail } from "./mails.ts";
import { Refusal } from "./refusals.ts";
import {
  type ClaimedToken,
  GRANT_TYPE,
  type Identity,
  POLL_INTERVAL,
  PRE_CLAIM_SCOPES,
  type StartedClaim,
} from "./schemas.ts";
import * as store from "./store.ts";

const WINDOW_SECONDS = 24 * 60 * 60;
const ATTEMPT_SECONDS = 30 * 60;
const POLL_INTERVAL_STEP = 5;
const POLL_INTERVAL_AT_MOST = 60;
const UNNAMED = "Unnamed agent";

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

/** Bounds the look-ups of claim tokens and of tokens to revoke, and notes what is known (CONTRACT.md §0). */
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

/** Puts agent authentication together. The database is not asked. */
export function openAgentAuth(db: Db, config: AgentAuthConfig, lookups: Lookups): AgentAuthDeps {
  return { db, config, lookups, agentLimits: createAgentLimits(db) };
}

/** Whether mail reaches people, without which nobody can claim: the demo's goes into its mailbox page. */
export function canClaim({ smtpUrl, demo }: AgentAuthConfig): boolean {
  return smtpUrl !== undefined || demo;
}

/** Where the calls of agent authentication are. */
export function endpointsOf(publicUrl: string) {
  return {
    identity: `${publicUrl}/api/agent/identity`,
    claim: `${publicUrl}/api/agent/identity/claim`,
    token: `${publicUrl}/api/agent/oauth/token`,
    revocation: `${publicUrl}/api/agent/oauth/revoke`,
  };
}

/**
 * Makes an account for an agent that nobody knows: a token that can read and prepare, until the window to claim
 * the account ends, and the claim token (CONTRACT.md §6).
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
  const { token, expiresAt } = await inTransaction(db, async (trx) => {
    const now = await readClock(trx);
    const window = addSeconds(now, WINDOW_SECONDS);
    const values = {
      name: agent.organizationName ?? agent.agentName ?? UNNAMED,
      claimedAt: null,
      features: Object.fromEntries(config.defaultFeatures.map((feature) => [feature, true])),
      billing: "card" as const,
      coSign: "session" as const,
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
 * Names the human who is to claim the account, and mails them the one secret that can. A claim that was open
 * before ends. Whether the e-mail is known here shows in nothing.
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
  // Only what can be mailed counts against whoever would be.
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

/**
 * Gives the agent its token, once, when a human has claimed the account; says until then how it stands. Polls
 * are counted by the database's clock, those that are refused too.
 * @throws Refusal authorization_pending | slow_down | expired_token | invalid_grant; Problem account_frozen or
 * token_limit_reached, after which the token can still be had, rate_limited {retryAfterSeconds}
 */
export async function pollToken(
  deps: AgentAuthDeps,
  claimToken: string,
  address: string,
): Promise<ClaimedToken> {
  const { db, config } = deps;
  // Looked up before the account is held: its UUID follows from its id, so that anybody can make such a token up.
  const found = await findClaim(deps, claimToken, address);
  if (found === undefined) throw new Refusal("invalid_grant");
  const { credential } = found;
  const { accountId } = credential;
  const answer = await inTransaction(db, async (trx) => {
    await holdAccount(trx, accountId);
    const now = await readClockNow(trx);
    const row = await store.findByClaimToken(trx, credential);
    if (row === undefined) return new Refusal("invalid_grant");
    if (comesTooSoon(row, now)) {
      const pollInterval = Math.min(row.pollInterval + POLL_INTERVAL_STEP, POLL_INTERVAL_AT_MOST);
      await store.updatePolling(trx, accountId, { polledAt: now, pollInterval });
      return new Refusal(
        "slow_down",
        `Polled too soon. Wait ${pollInterval} seconds between polls from now on.`,
      );
    }
    await store.updatePolling(trx, accountId, { polledAt: now, pollInterval: row.pollInterval });
    return deliver(trx, row, now, canClaim(config));
  });
  if (answer instanceof Refusal) throw answer;
  return answer;
}

function comesTooSoon({ polledAt, pollInterval }: store.RegistrationRow, now: Date): boolean {
  return polledAt !== null && now < addSeconds(polledAt, pollInterval);
}

async function deliver(
  trx: Trx,
  row: store.RegistrationRow,
  now: Date,
  mailed: boolean,
): Promise<ClaimedToken | Refusal> {
  const state = claimState(row, now);
  switch (state) {
    case "claimed":
      if (isRefused(row)) {
        return new Refusal(
          "invalid_grant",
          "The owner of the account has refused the access token. They mint others under Settings, API keys.",
        );
      }
      return mayStillAsk(row, now) && (await store.markDelivered(trx, row.accountId, now))
        ? mintClaimed(trx, row, now)
        : new Refusal(
            "invalid_grant",
            "The access token was given already. The owner mints others under Settings, API keys.",
          );
    case "taken":
      return new Refusal(
        "invalid_grant",
        "The account was claimed another way. Its owner or its operator mints tokens for it.",
      );
    case "window_over":
      return new Refusal("expired_token", "The 24 hours to claim this account are over. Register again.");
    case "guessed":
    case "lapsed":
      return new Refusal(
        "expired_token",
        `${state === "guessed" ? "Too many wrong codes were typed." : "Nobody has claimed the account in time."} ` +
          "Start again at the claim endpoint, with the same claim_token.",
      );
    case "unnamed":
      return new Refusal(
        "authorization_pending",
        "No human has been named yet. Name one at the claim endpoint first.",
      );
    case "open":
      return mailed
        ? new Refusal("authorization_pending")
        : new Refusal(
            "authorization_pending",
            "This service sends no mail, so nobody can claim here. Its operator can invite the owner.",
          );
  }
}

function mayStillAsk(row: store.RegistrationRow, now: Date): boolean {
  const until = fetchableUntil(row);
  return until !== undefined && now < until;
}

async function mintClaimed(trx: Trx, row: store.RegistrationRow, now: Date): Promise<ClaimedToken> {
  const scopes = row.scopes ?? [];
  const { token } = await mintToken(
    trx,
    { accountId: row.accountId, organizationId: row.registrationId },
    { name: row.agentName ?? UNNAMED, scopes, expiresAt: null },
    { registered: true },
    now,
  );
  return { access_token: token, token_type: "bearer", scopes };
}

/** The registration that a claim token is of. @throws Problem rate_limited {retryAfterSeconds} */
async function findClaim(
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
 * Revokes an access token by itself (RFC 7009), and what it minted. Whether it was a live one is not told.
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
    inTransaction(db, async (trx) =>
      (await revokeSecret(trx, credential, origin, await readClock(trx))) ? true : undefined,
    ),
  );
  if (revoked) lookups.reject(credential);
}
