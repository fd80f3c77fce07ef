import { holdAccount } from "../accounts/service.ts";
import { mintToken } from "../accounts/token-service.ts";
import { readClockNow } from "../database/clock.ts";
import type { Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { addSeconds } from "../lib/time.ts";
import { claimState, fetchableUntil, isRefused } from "./claim-rules.ts";
import { Refusal } from "./refusals.ts";
import type { ClaimedToken } from "./schemas.ts";
import { type AgentAuthDeps, canClaim, findClaim, UNNAMED } from "./service.ts";
import * as store from "./store.ts";

const POLL_INTERVAL_STEP = 5;
const POLL_INTERVAL_AT_MOST = 60;

/**
 * Answers a poll: the agent's token, once, after a human has claimed the account; before that, the state of the claim. The
 * interval of polls is measured by the database's clock, refused ones too.
 * @throws Refusal authorization_pending | slow_down | expired_token | invalid_grant; Problem account_frozen or
 * token_limit_reached, after which the token can still be fetched, rate_limited {retryAfterSeconds}
 */
export async function pollToken(
  deps: AgentAuthDeps,
  claimToken: string,
  address: string,
): Promise<ClaimedToken> {
  const { db, config } = deps;
  // Looked up before the account is locked: a claim token for any account can be forged, as its UUID derives from its id.
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
    case "expired":
      return new Refusal(
        "expired_token",
        `${state === "guessed" ? "Too many wrong codes were typed." : "The account was not claimed in time."} ` +
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
            "This service sends no mail, so your human cannot claim the account. Its operator can invite the owner.",
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
