import type { Static } from "@sinclair/typebox";
import { revokeFromToken } from "../accounts/by-token-service.ts";
import { answerOnce } from "../accounts/idempotency-service.ts";
import type { Operation } from "../accounts/operations.ts";
import { listTokens } from "../accounts/token-service.ts";
import { requestEnd, requestRelease, withdrawRequest } from "../approvals/request-service.ts";
import { type Approval, END_REQUESTED, RELEASE_REQUESTED } from "../approvals/schemas.ts";
import type { TopUpAsked } from "../billing/credit-schemas.ts";
import { getCredits, listCreditLedger } from "../billing/credit-service.ts";
import { listPendingPayments } from "../billing/payment-service.ts";
import { getTopUp, requestTopUp, type TopUpDeps, topUpCents } from "../billing/top-up-service.ts";
import { canonicalDigest } from "../lib/canonical.ts";
import type { RequestOrigin } from "../lib/origin.ts";
import { Problem } from "../lib/problems.ts";
import { addByToken, deleteByToken } from "../webhooks/by-token-service.ts";
import { WEBHOOK_CREATED } from "../webhooks/schemas.ts";
import { getWebhook, listWebhooks, type WebhookDeps } from "../webhooks/service.ts";
import type { ACCOUNT_INPUTS } from "./account-tools.ts";
import type { Caller } from "./caller.ts";

export type AccountCallDeps = TopUpDeps & WebhookDeps & { config: { approvalTtlSeconds: number } };

type Name = keyof typeof ACCOUNT_INPUTS;
type Call = { caller: Caller; origin: RequestOrigin };
type Answer = { body: Record<string, unknown>; approval?: Approval };
type Run<N extends Name> = {
  operation: Operation;
  run(deps: AccountCallDeps, call: Call, input: Static<(typeof ACCOUNT_INPUTS)[N]>): Promise<Answer>;
};

/** What the tools of `account-tools.ts` do: the gates and the services of the routes of the same names. */
export const ACCOUNT_RUNS: { [N in Name]: Run<N> } = {
  opentrain_request_milestone_approval: {
    operation: "requestMilestoneApproval",
    run: async (deps, { caller }, { milestoneId }) => {
      const approval = live(await requestRelease(deps, caller, milestoneId));
      return { body: { approval, message: RELEASE_REQUESTED }, approval };
    },
  },
  opentrain_end_contract: {
    operation: "endContract",
    run: async (deps, { caller, origin }, { contractId }) => {
      const { tokenId, tokenName: name, rootTokenId: rootId } = caller;
      const actor = { kind: "token" as const, tokenId, rootId, name };
      const answer = live(await requestEnd(deps, caller, contractId, actor, origin));
      if ("ended" in answer) return { body: { ok: true, contractId, status: "ended" } };
      const { approval } = answer;
      return { body: { approval, message: END_REQUESTED }, approval };
    },
  },
  opentrain_withdraw_approval: {
    operation: "withdrawApproval",
    run: async (deps, { caller }, { approvalId }) => {
      const approval = live(await withdrawRequest(deps, caller, approvalId));
      return { body: { approval }, approval };
    },
  },
  opentrain_get_credits: {
    operation: "getCredits",
    run: async ({ db }, { caller }) => ({ body: { credits: await getCredits(db, caller.accountId) } }),
  },
  opentrain_list_credit_ledger: {
    operation: "listCreditLedger",
    run: async ({ db }, { caller }, query) => ({ body: await listCreditLedger(db, caller.accountId, query) }),
  },
  opentrain_create_credit_top_up: {
    operation: "createTopUp",
    run: async (deps, { caller, origin }, { idempotencyKey: key, ...asked }) => {
      const { accountId, tokenId } = caller;
      const amountCents = topUpCents(asked);
      const digest = canonicalDigest(["opentrain_create_credit_top_up", asked]);
      const keyed = key === undefined ? undefined : { accountId, tokenId, key, digest, onReplay: () => {} };
      return {
        body: await answerOnce<TopUpAsked>(deps.db, keyed, (keep) =>
          requestTopUp(deps, caller, amountCents, origin, keep),
        ),
      };
    },
  },
  opentrain_get_credit_top_up: {
    operation: "getTopUp",
    run: async ({ db }, { caller }, { topUpId }) => ({
      body: { topUp: await getTopUp(db, caller.accountId, topUpId) },
    }),
  },
  opentrain_list_pending_payments: {
    operation: "listPendingPayments",
    run: async ({ db }, { caller }) => ({
      body: { payments: await listPendingPayments(db, caller.accountId) },
    }),
  },
  opentrain_create_webhook: {
    operation: "createWebhook",
    run: async (deps, { caller, origin }, asked) => {
      const disclosed = live(await addByToken(deps, caller, asked, origin));
      return { body: { ...disclosed, message: WEBHOOK_CREATED } };
    },
  },
  opentrain_list_webhooks: {
    operation: "listWebhooks",
    run: async ({ db }, { caller }) => ({ body: { webhooks: await listWebhooks(db, caller.accountId) } }),
  },
  opentrain_get_webhook: {
    operation: "getWebhook",
    run: async ({ db }, { caller }, { webhookId }) => ({
      body: { webhook: await getWebhook(db, caller.accountId, webhookId) },
    }),
  },
  opentrain_delete_webhook: {
    operation: "deleteWebhook",
    run: async ({ db }, { caller, origin }, { webhookId }) => ({
      body: { webhook: live(await deleteByToken(db, caller, webhookId, origin)), deleted: true },
    }),
  },
  opentrain_list_tokens: {
    operation: "listTokens",
    run: async ({ db }, { caller }) => ({ body: { tokens: await listTokens(db, caller) } }),
  },
  opentrain_revoke_token: {
    operation: "revokeToken",
    run: async ({ db, config }, { caller, origin }, { tokenId }) => ({
      body: { token: live(await revokeFromToken(db, caller, tokenId, config.publicUrl, origin)) },
    }),
  },
};

/** @throws Problem unauthorized: the token has ended meanwhile */
function live<T>(result: T | undefined): T {
  if (result === undefined) throw new Problem("unauthorized");
  return result;
}
