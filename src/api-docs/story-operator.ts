import type { TokenMetadata } from "../accounts/schemas.ts";
import type { AuditEntry } from "../audit/schemas.ts";
import type { CreditEntry } from "../billing/credit-schemas.ts";
import type { Charge, PaymentMethod } from "../billing/schemas.ts";
import type { OperatorContract, OperatorContractWithBudget } from "../contracts/schemas.ts";
import type { Event, OperatorEvent } from "../events/schemas.ts";
import type { ListedApproval, ListedPayment, ListedWebhook } from "../operator/list-schemas.ts";
import type { Account, EventBody, Member, PauseState } from "../operator/schemas.ts";
import type { OperatorWebhook } from "../webhooks/schemas.ts";
import * as story from "./story.ts";
import { entries } from "./story-credits.ts";

/** The same story as the operator sees it, who makes the contract and the milestone, and passes a message on. */
export const ENDED = "2026-12-15T16:00:00.000Z";
const { organizationId: ACCOUNT_ID } = story.me.account;
const AMOUNT = { amountCents: 45_000, currency: "usd" } as const;
const CONFIRMED = story.confirmation.createdAt;

export const account: Account = {
  id: ACCOUNT_ID,
  name: "Acme Research",
  claimed: true,
  features: story.capabilities.features,
  billing: "card",
  coSign: "session",
  secondSignerFromUsd: null,
  frozen: false,
  createdAt: "2026-11-23T08:45:00.000Z",
  updatedAt: story.contract.createdAt,
};

const freelancer = { ...story.contract.freelancer, payoutAccount: "acct_1A2b3C" };
export const contract: OperatorContract = { ...story.contract, freelancer };
export const contractWithBudget: OperatorContractWithBudget = { ...story.contractWithBudget, freelancer };
const [unfunded] = story.contract.milestones;
if (unfunded === undefined) throw new TypeError("the story has a milestone");
export const milestone = { ...unfunded, contractId: story.CONTRACT_ID };

export const card: PaymentMethod = {
  id: "pm_of_acme",
  brand: "visa",
  last4: "4242",
  expMonth: 12,
  expYear: 2029,
  isDefault: true,
};
export const payment: ListedPayment = {
  id: "01a207e4-2f10-7c92-8a4e-d35b1f60e972",
  accountId: ACCOUNT_ID,
  kind: "charge",
  status: "succeeded",
  inDoubtSince: null,
  approvalId: story.pending.id,
  milestoneId: story.MILESTONE_ID,
  ...AMOUNT,
  attempt: 1,
  processorId: "pi_of_milestone_7_1",
  refusalCode: null,
  createdAt: CONFIRMED,
  resolvedAt: CONFIRMED,
};
export const charge: Charge = {
  id: payment.processorId ?? "",
  idempotencyKey: `${payment.id}-1`,
  ...AMOUNT,
  status: "succeeded",
  createdAt: CONFIRMED,
  metadata: { approvalId: story.pending.id, milestoneId: story.MILESTONE_ID },
};
export const adjustment: CreditEntry = {
  ...(entries[1] as CreditEntry),
  id: "01a2083a-5c20-7d64-9f1b-80e3a7c5d216",
  type: "ADJUSTMENT",
  amountCents: 5_000,
  topUpId: null,
  note: "For the hour that the service was away",
};

export const token: TokenMetadata = { ...story.token, scopes: ["payments:write"], lastUsedAt: null };
export const owner: Member = {
  id: "01a20797-4bc1-7e58-a0d7-2c9f61b3e845",
  email: story.me.actor.email ?? "",
  name: story.me.actor.fullName ?? "",
  role: "owner",
  status: "active",
  pendingUpgrade: null,
  createdAt: "2026-11-23T08:49:00.000Z",
};
export const invited: Member = {
  ...owner,
  id: "01a2083f-1d40-7b09-8e62-f4a05c7d93b1",
  email: "grace@acme.example",
  name: "Grace Hill",
  role: "approver",
  status: "invited",
  createdAt: "2026-11-23T12:30:00.000Z",
};
export const INVITE_URL = `${story.ORIGIN}/invite/…`;

export const listedApproval: ListedApproval = {
  ...story.pending,
  accountId: ACCOUNT_ID,
  ...AMOUNT,
  askedBy: story.token.name,
  executingSince: null,
};
export const listedWebhook: ListedWebhook = {
  ...story.webhook,
  failures: 0,
  nextAttemptAt: null,
  slowSince: null,
};
export const act: AuditEntry = {
  id: "01a2079f-3e40-7a15-b8c3-60d2f97e1a54",
  at: story.contract.createdAt,
  action: "contract_created",
  actor: { kind: "operator", id: null, name: null, rootId: null },
  subject: { kind: "contract", id: story.CONTRACT_ID },
  before: null,
  after: { title: story.contract.title },
  detail: {},
  address: "203.0.113.9",
  requestId: "01a2079f-3e3f-7d20-9c41-b5e8207f6a13",
};

/** What a marketplace knows and this service does not. */
export const passedOn = {
  type: "message.received",
  resourceId: "message-41",
  jobId: story.contract.jobId,
  data: { from: freelancer.displayName, text: "The first scenes are ready." },
} satisfies EventBody;
export const message: Event = {
  ...passedOn,
  id: "5",
  apiVersion: "v1",
  createdAt: "2026-11-23T12:40:00.000Z",
};
export const news: OperatorEvent[] = [
  {
    id: "11",
    type: "account.claimed",
    apiVersion: "v1",
    createdAt: owner.createdAt,
    accountId: ACCOUNT_ID,
    resourceId: ACCOUNT_ID,
    jobId: null,
    data: { memberId: owner.id, email: owner.email, name: owner.name },
  },
  {
    id: "12",
    type: "approval.requested",
    apiVersion: "v1",
    createdAt: story.pending.createdAt,
    accountId: ACCOUNT_ID,
    resourceId: story.pending.id,
    jobId: story.contract.jobId,
    data: {
      approvalId: story.pending.id,
      approvalType: "milestone_fund",
      contractId: story.CONTRACT_ID,
      milestoneId: story.MILESTONE_ID,
      ...AMOUNT,
      payee: freelancer,
      approvalUrl: story.pending.approvalUrl,
    },
  },
];

export const webhook: OperatorWebhook = {
  url: "https://desk.example.com/countersign",
  createdAt: "2026-11-23T08:00:00.000Z",
  cursor: "12",
  waiting: 0,
  attempts: 0,
  lastAttemptAt: "2026-11-23T09:30:00.204Z",
  lastStatus: 200,
  lastError: null,
  nextAttemptAt: null,
};
export const paused: PauseState = { paymentsPaused: true, changedAt: "2026-11-23T13:00:00.000Z" };
