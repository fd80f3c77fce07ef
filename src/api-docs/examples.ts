import type { Static } from "@sinclair/typebox";
import type { NewTokenAnswer, NewTokenBody, OneToken, TokenList } from "../accounts/schemas.ts";
import type { RefusalName } from "../agent-auth/refusals.ts";
import type {
  ClaimBody,
  ClaimedToken,
  Identity,
  IdentityBody,
  StartedClaim,
  TokenForm,
} from "../agent-auth/schemas.ts";
import {
  type ApprovalRequested,
  type ContractEnded,
  END_REQUESTED,
  FUNDING_REQUESTED,
  type OneApproval,
  RELEASE_REQUESTED,
} from "../approvals/schemas.ts";
import type { CreditLedger, Credits, NewTopUp, OneTopUp } from "../billing/credit-schemas.ts";
import type { PendingPayments } from "../billing/schemas.ts";
import type { NewMilestone } from "../contracts/schemas.ts";
import type { Updates } from "../events/schemas.ts";
import {
  type Deliveries,
  type OneDelivery,
  type OneWebhook,
  WEBHOOK_CREATED,
  type WebhookBody,
  type WebhookCreated,
  type WebhookDeleted,
  type WebhookList,
  type WebhookRotated,
} from "../webhooks/schemas.ts";
import * as story from "./story.ts";
import * as credits from "./story-credits.ts";
import * as operator from "./story-operator.ts";
import { receipt } from "./story-receipt.ts";
import * as registration from "./story-registration.ts";

/** Values by a name that says what they show. */
export type Examples = Record<string, unknown>;
/** What is wrong with a request: the field if it is one's, and the message. */
export type Fault = { field?: string; error: string };

/** What calls of agent registration are refused for with 400. */
export const AGENT_AUTH_REFUSALS: Record<string, readonly RefusalName[]> = {
  registerAgent: ["invalid_request", "unsupported_identity_type"],
  startClaim: ["invalid_request"],
  pollToken: [
    "invalid_request",
    "unsupported_grant_type",
    "authorization_pending",
    "slow_down",
    "expired_token",
    "invalid_grant",
  ],
  revokeAccessToken: ["invalid_request"],
};

export type CallExamples = {
  body?: Examples;
  /** By the status of the answer. */
  answers: Record<string, Examples>;
  /** What its 400 says. */
  fault: Fault;
};

const NEW_TOKEN = "ot_pat_…";
const NEW_WEBHOOK_SECRET = "whsec_…";

/** Agent registration has refusals of its own: AGENT_AUTH_REFUSALS. */
const OAUTH: Fault = { error: "" };
const unreadable: Fault = { error: "The address cannot be read: check its percent-encoding." };
const bodyGiven: Fault = { field: "amountUsd", error: "`amountUsd` is not a field of this call." };
const keyGiven: Fault = {
  field: "Idempotency-Key",
  error: "This call takes no such key: its answers are not kept.",
};

/** The ids that stand in an address. */
export const PARAMETER_EXAMPLES: Record<string, string> = {
  contractId: story.CONTRACT_ID,
  milestoneId: story.MILESTONE_ID,
  approvalId: story.pending.id,
  tokenId: story.narrower.id,
  webhookId: story.webhook.id,
  deliveryId: story.delivered.id,
  topUpId: credits.topUp.id,
  accountId: operator.account.id,
  memberId: operator.invited.id,
  paymentMethodId: operator.card.id,
};

/** What each call is sent and answers, by its operation id. */
export const CALL_EXAMPLES: Record<string, CallExamples> = {
  registerAgent: {
    body: { named: registration.asked satisfies Static<typeof IdentityBody> },
    answers: { 200: { registered: registration.registered satisfies Identity } },
    fault: OAUTH,
  },
  startClaim: {
    body: { human: registration.naming satisfies Static<typeof ClaimBody> },
    answers: { 200: { mailed: registration.started satisfies StartedClaim } },
    fault: OAUTH,
  },
  pollToken: {
    body: { poll: registration.poll satisfies Static<typeof TokenForm> },
    answers: { 200: { claimed: registration.claimed satisfies ClaimedToken } },
    fault: OAUTH,
  },
  revokeAccessToken: {
    body: { token: { token: NEW_TOKEN } },
    answers: { 200: { revoked: {} } },
    fault: OAUTH,
  },
  requestMilestoneFunding: {
    answers: {
      202: {
        pending: { approval: story.pending, message: FUNDING_REQUESTED } satisfies Static<
          typeof ApprovalRequested
        >,
      },
    },
    fault: bodyGiven,
  },
  requestMilestoneApproval: {
    answers: {
      202: {
        pending: { approval: story.releasing, message: RELEASE_REQUESTED } satisfies Static<
          typeof ApprovalRequested
        >,
      },
    },
    fault: bodyGiven,
  },
  endContract: {
    answers: {
      200: {
        ended: { ok: true, contractId: story.CONTRACT_ID, status: "ended" } satisfies Static<
          typeof ContractEnded
        >,
      },
      202: {
        pending: { approval: story.ending, message: END_REQUESTED } satisfies Static<
          typeof ApprovalRequested
        >,
      },
    },
    fault: bodyGiven,
  },
  withdrawApproval: {
    answers: { 200: { withdrawn: { approval: story.withdrawn } satisfies Static<typeof OneApproval> } },
    fault: bodyGiven,
  },
  listPendingPayments: {
    answers: {
      200: {
        waiting: { payments: [story.pendingPayment] },
        none: { payments: [] },
      } satisfies Record<string, Static<typeof PendingPayments>>,
    },
    fault: unreadable,
  },
  getApproval: {
    answers: {
      200: {
        pending: { approval: story.pending },
        confirmed: { approval: story.confirmed },
        declined: { approval: story.declined },
        expired: { approval: story.expired },
        ended_early: { approval: story.endedEarly },
      } satisfies Record<string, Static<typeof OneApproval>>,
    },
    fault: unreadable,
  },
  getReceipt: { answers: { 200: { confirmed: { receipt } } }, fault: unreadable },
  listUpdates: {
    answers: {
      200: {
        news: { events: [story.confirmation, story.funding], nextCursor: "4", hasMore: false },
        nothing_new: { events: [], nextCursor: "4", hasMore: false },
      } satisfies Record<string, Updates>,
    },
    fault: { field: "limit", error: "`limit` must be <= 200." },
  },
  listContracts: {
    answers: { 200: { something_to_fund: { contracts: [story.contract] } } },
    fault: { field: "status", error: "`status` must be equal to one of the allowed values." },
  },
  getContract: {
    answers: { 200: { funded: { contract: story.contractWithBudget } } },
    fault: unreadable,
  },
  createMilestone: {
    body: {
      fixed_price: {
        name: "Second batch",
        description: "Label the next 3,000 street scenes",
        amountUsd: 300,
        dueDate: "2026-12-15",
      } satisfies NewMilestone,
    },
    answers: { 201: { created: { milestone: story.secondBatch } } },
    fault: {
      field: "amountUsd",
      error: "`amountUsd` must be dollars from 0.5 to 999999.99, with at most two decimals.",
    },
  },
  getCredits: {
    answers: {
      200: {
        used: {
          credits: {
            availableCents: 70_000,
            reservedCents: 30_000,
            currency: "usd",
            recentEntries: credits.entries,
          } satisfies Credits,
        },
        never_used: {
          credits: {
            availableCents: 0,
            reservedCents: 0,
            currency: "usd",
            recentEntries: [],
          } satisfies Credits,
        },
      },
    },
    fault: unreadable,
  },
  listCreditLedger: {
    answers: { 200: { all: { entries: credits.entries, nextCursor: null } satisfies CreditLedger } },
    fault: { field: "cursor", error: "`cursor` must be a `nextCursor` that was given." },
  },
  createTopUp: {
    body: { a_thousand_dollars: { amountUsd: 1_000 } satisfies NewTopUp },
    answers: { 201: { requested: credits.asked } },
    fault: {
      field: "amountUsd",
      error: "`amountUsd` must be dollars from 10 to 10000, with at most two decimals.",
    },
  },
  getTopUp: {
    answers: {
      200: { pending: { topUp: credits.asked.topUp }, completed: { topUp: credits.topUp } } satisfies Record<
        string,
        Static<typeof OneTopUp>
      >,
    },
    fault: unreadable,
  },
  getMe: { answers: { 200: { claimed: story.me, unclaimed: story.unclaimed } }, fault: unreadable },
  getCapabilities: { answers: { 200: { claimed: story.capabilities } }, fault: unreadable },
  getJobDraftCapabilities: { answers: { 200: { claimed: story.jobDraftCapabilities } }, fault: unreadable },
  listTokens: {
    answers: { 200: { two: { tokens: story.tokens } satisfies Static<typeof TokenList> } },
    fault: keyGiven,
  },
  createToken: {
    body: {
      narrower: {
        name: "Reporting",
        scopes: ["payments:read"],
        expiresAt: "2026-12-31T00:00:00.000Z",
      } satisfies Static<typeof NewTokenBody>,
    },
    answers: {
      201: {
        minted: { token: NEW_TOKEN, tokenType: "bearer", metadata: story.narrower } satisfies Static<
          typeof NewTokenAnswer
        >,
      },
    },
    fault: { field: "expiresAt", error: "`expiresAt` must lie in the future." },
  },
  revokeToken: {
    answers: { 200: { revoked: { token: story.revoked } satisfies Static<typeof OneToken> } },
    fault: bodyGiven,
  },
  createWebhook: {
    body: {
      outcomes: {
        url: story.webhook.url,
        eventTypes: ["approval.confirmed", "milestone.status_changed"],
      } satisfies WebhookBody,
    },
    answers: {
      201: {
        created: {
          webhook: story.webhook,
          secret: NEW_WEBHOOK_SECRET,
          message: WEBHOOK_CREATED,
        } satisfies Static<typeof WebhookCreated>,
      },
    },
    fault: { field: "url", error: "The URL must begin with https://." },
  },
  listWebhooks: {
    answers: { 200: { one: { webhooks: [story.webhook] } satisfies Static<typeof WebhookList> } },
    fault: keyGiven,
  },
  getWebhook: {
    answers: {
      200: {
        active: { webhook: story.webhook },
        disabled: { webhook: story.disabled },
      } satisfies Record<string, Static<typeof OneWebhook>>,
    },
    fault: keyGiven,
  },
  listDeliveries: {
    answers: {
      200: { delivered: { deliveries: [story.delivered], nextCursor: null } satisfies Deliveries },
    },
    fault: { field: "limit", error: "`limit` must be <= 100." },
  },
  rotateWebhookSecret: {
    answers: {
      200: {
        rotated: { webhook: story.webhook, secret: NEW_WEBHOOK_SECRET } satisfies Static<
          typeof WebhookRotated
        >,
      },
    },
    fault: bodyGiven,
  },
  redeliver: {
    answers: { 202: { due_again: { delivery: story.resent } satisfies Static<typeof OneDelivery> } },
    fault: bodyGiven,
  },
  deleteWebhook: {
    answers: {
      200: { deleted: { webhook: story.webhook, deleted: true } satisfies Static<typeof WebhookDeleted> },
    },
    fault: bodyGiven,
  },
};
