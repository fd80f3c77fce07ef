import type { Static } from "@sinclair/typebox";
import {
  type ApprovalRequested,
  type ContractEnded,
  END_REQUESTED,
  FUNDING_REQUESTED,
  type OneApproval,
  RELEASE_REQUESTED,
} from "../approvals/schemas.ts";
import type { AuditPage } from "../audit/schemas.ts";
import type { OperatorUpdates } from "../events/schemas.ts";
import type {
  AccountBody,
  AdjustmentBody,
  ContractBody,
  EventBody,
  MemberBody,
  MemberChange,
  MilestoneBody,
  PauseState,
  PaymentMethodBody,
  TokenBody,
} from "../operator/schemas.ts";
import type { OperatorWebhookBody } from "../webhooks/schemas.ts";
import type { Examples } from "./examples.ts";
import * as story from "./story.ts";
import * as operator from "./story-operator.ts";

const DELETED = { 200: { deleted: { deleted: true } } };
const NEW_SECRET = "whsec_…";

/** What each of the operator's calls is sent and answers, by its operation id. */
export const OPERATOR_EXAMPLES: Record<string, { body?: Examples; answers: Record<string, Examples> }> = {
  putAccount: {
    body: {
      new_account: {
        name: "Acme Research",
        claimed: true,
        features: operator.account.features,
        billing: "card",
      } satisfies AccountBody,
      frozen: { frozen: true } satisfies AccountBody,
    },
    answers: {
      200: { frozen: { account: { ...operator.account, frozen: true } } },
      201: { created: { account: operator.account } },
    },
  },
  getAccount: { answers: { 200: { active: { account: operator.account } } } },
  listAccounts: { answers: { 200: { one: { accounts: [operator.account], nextCursor: null } } } },
  putContract: {
    body: {
      new_contract: {
        title: "Street scenes",
        jobId: story.contract.jobId,
        paymentType: "FIXED_PRICE",
        freelancer: operator.contract.freelancer,
      } satisfies ContractBody,
      ended: { status: "ended" } satisfies ContractBody,
    },
    answers: {
      200: { ended: { contract: { ...operator.contract, status: "ended", endDate: operator.ENDED } } },
      201: { created: { contract: { ...operator.contract, estimatedTotalUsd: 0, milestones: [] } } },
    },
  },
  getAccountContract: { answers: { 200: { funded: { contract: operator.contractWithBudget } } } },
  listAccountContracts: { answers: { 200: { one: { contracts: [operator.contract] } } } },
  putMilestone: {
    body: {
      new_milestone: {
        contractId: story.CONTRACT_ID,
        name: "First batch",
        description: "Label 5,000 street scenes",
        amountUsd: 450,
        dueDate: "2026-11-30",
      } satisfies MilestoneBody,
      another_amount: { amountUsd: 500 } satisfies MilestoneBody,
    },
    answers: {
      200: { changed: { milestone: { ...operator.milestone, amountUsd: 500 } } },
      201: { created: { milestone: operator.milestone } },
    },
  },
  getMilestone: { answers: { 200: { not_funded: { milestone: operator.milestone } } } },
  listAccountMilestones: {
    answers: { 200: { one: { milestones: [operator.milestone], nextCursor: null } } },
  },
  cancelMilestone: {
    answers: { 200: { cancelled: { milestone: { ...operator.milestone, status: "CANCELLED" } } } },
  },
  postEvent: {
    body: { message: operator.passedOn satisfies EventBody },
    answers: { 201: { recorded: { event: operator.message } } },
  },
  listEvents: {
    answers: {
      200: {
        news: {
          events: [story.confirmation, story.funding, operator.message].map((event) => ({
            ...event,
            accountId: operator.account.id,
          })),
          nextCursor: operator.message.id,
          hasMore: false,
        } satisfies OperatorUpdates,
      },
    },
  },
  addPaymentMethod: {
    body: { card: { paymentMethod: "pm_card_visa" } satisfies Static<typeof PaymentMethodBody> },
    answers: { 201: { on_file: { paymentMethod: operator.card } } },
  },
  listPaymentMethods: { answers: { 200: { one: { paymentMethods: [operator.card] } } } },
  removePaymentMethod: { answers: DELETED },
  listSandboxCharges: { answers: { 200: { one: { charges: [operator.charge] } } } },
  createAccountToken: {
    body: {
      for_an_agent: { name: story.token.name, scopes: ["payments:write"] } satisfies TokenBody,
    },
    answers: { 201: { created: { token: "ot_pat_…", tokenType: "bearer", metadata: operator.token } } },
  },
  listAccountTokens: { answers: { 200: { one: { tokens: [operator.token], nextCursor: null } } } },
  revokeAccountToken: {
    answers: {
      200: { revoked: { token: { ...operator.token, status: "revoked", revokedAt: operator.ENDED } } },
    },
  },
  inviteAccountMember: {
    body: {
      approver: {
        email: operator.invited.email,
        name: operator.invited.name,
        role: "approver",
      } satisfies MemberBody,
    },
    answers: { 201: { invited: { member: operator.invited, inviteUrl: operator.INVITE_URL } } },
  },
  listAccountMembers: {
    answers: { 200: { two: { members: [operator.invited, operator.owner], nextCursor: null } } },
  },
  getAccountMember: { answers: { 200: { invited: { member: operator.invited } } } },
  changeAccountMember: {
    body: { fewer_rights: { role: "viewer" } satisfies MemberChange },
    answers: { 200: { changed: { member: { ...operator.invited, role: "viewer" } } } },
  },
  removeAccountMember: { answers: DELETED },
  listApprovals: {
    answers: { 200: { pending: { approvals: [operator.listedApproval], nextCursor: null } } },
  },
  listPayments: { answers: { 200: { one: { payments: [operator.payment], nextCursor: null } } } },
  listAudit: { answers: auditPage() },
  listServiceAudit: { answers: auditPage() },
  listAccountWebhooks: {
    answers: { 200: { one: { webhooks: [operator.listedWebhook], nextCursor: null } } },
  },
  listOperatorUpdates: {
    answers: {
      200: {
        news: { events: operator.news, nextCursor: "12", hasMore: false } satisfies OperatorUpdates,
        nothing_new: { events: [], nextCursor: "12", hasMore: false } satisfies OperatorUpdates,
      },
    },
  },
  putOperatorWebhook: {
    body: { desk: { url: operator.webhook.url } satisfies Static<typeof OperatorWebhookBody> },
    answers: {
      200: { unchanged: { webhook: operator.webhook } },
      201: { created: { webhook: operator.webhook, secret: NEW_SECRET } },
    },
  },
  getOperatorWebhook: { answers: { 200: { up_to_date: { webhook: operator.webhook } } } },
  rotateOperatorWebhookSecret: {
    answers: { 200: { rotated: { webhook: operator.webhook, secret: NEW_SECRET } } },
  },
  deleteOperatorWebhook: { answers: DELETED },
  putPause: {
    body: { pause: { paymentsPaused: true } },
    answers: { 200: { paused: operator.paused satisfies PauseState } },
  },
  getPause: {
    answers: {
      200: {
        paused: operator.paused satisfies PauseState,
        never_paused: { paymentsPaused: false, changedAt: null } satisfies PauseState,
      },
    },
  },
  adjustCredits: {
    body: {
      goodwill: { amountCents: 5_000, note: operator.adjustment.note ?? "" } satisfies Static<
        typeof AdjustmentBody
      >,
    },
    answers: { 201: { booked: { entry: operator.adjustment } } },
  },
  askMilestoneFunding: {
    answers: { 202: { pending: requested(story.pending, FUNDING_REQUESTED) } },
  },
  askMilestoneRelease: {
    answers: { 202: { pending: requested(story.releasing, RELEASE_REQUESTED) } },
  },
  askContractEnd: {
    answers: {
      200: {
        ended: { ok: true, contractId: story.CONTRACT_ID, status: "ended" } satisfies Static<
          typeof ContractEnded
        >,
      },
      202: { pending: requested(story.ending, END_REQUESTED) },
    },
  },
  withdrawAskedApproval: {
    answers: { 200: { withdrawn: { approval: story.withdrawn } satisfies Static<typeof OneApproval> } },
  },
};

function requested(approval: typeof story.pending, message: string): Static<typeof ApprovalRequested> {
  return { approval, message };
}

function auditPage(): Record<string, Examples> {
  return { 200: { one: { entries: [operator.act], nextCursor: null } satisfies Static<typeof AuditPage> } };
}
