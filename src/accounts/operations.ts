import type { TokenAccess } from "../http/access.ts";

const anyToken: TokenAccess = { by: "token" };
const readPayments: TokenAccess = { by: "token", scopes: ["payments:read"] };
const readCredits: TokenAccess = { by: "token", scopes: ["payments:read"], feature: "public_api_credits" };
const manageWebhooks: TokenAccess = {
  by: "token",
  scopes: ["webhooks:manage"],
  feature: "public_api_webhooks",
};
const askForPayment = (claim: string): TokenAccess => ({
  by: "token",
  scopes: ["payments:write"],
  feature: "public_api_payments_write",
  claim,
  asks: true,
});

/**
 * What each operation of the public API requires of a token (docs/contract.md §0), by its `operationId`. Routes and the tools
 * of `/mcp` read the same row. An operation without `claim` works before the account is claimed.
 */
export const OPERATIONS = {
  getMe: anyToken,
  getCapabilities: anyToken,
  getJobDraftCapabilities: anyToken,
  listTokens: anyToken,
  createToken: { by: "token", asks: true },
  revokeToken: anyToken,
  listContracts: readPayments,
  getContract: readPayments,
  createMilestone: askForPayment("create milestones"),
  requestMilestoneFunding: askForPayment("fund milestones"),
  requestMilestoneApproval: askForPayment("release milestones"),
  endContract: askForPayment("end contracts"),
  /** A frozen account may. */
  withdrawApproval: { by: "token", scopes: ["payments:write"] },
  getApproval: readPayments,
  getReceipt: readPayments,
  listPendingPayments: readPayments,
  getCredits: readCredits,
  listCreditLedger: readCredits,
  getTopUp: readCredits,
  createTopUp: {
    by: "token",
    scopes: ["payments:write"],
    feature: "public_api_credits",
    claim: "add credits",
    asks: true,
  },
  /** Any one of these scopes is enough; the feed leaves out what the token may not read. */
  listUpdates: { by: "token", scopes: ["proposals:read", "messages:read", "payments:read"] },
  listWebhooks: manageWebhooks,
  createWebhook: manageWebhooks,
  getWebhook: manageWebhooks,
  deleteWebhook: manageWebhooks,
  listDeliveries: manageWebhooks,
  redeliver: manageWebhooks,
  rotateWebhookSecret: manageWebhooks,
  /** Opens `/mcp`; each tool then requires what its own operation does. */
  mcp: anyToken,
} as const satisfies Record<string, TokenAccess>;

export type Operation = keyof typeof OPERATIONS;
