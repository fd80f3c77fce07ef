import type { Capabilities, JobDraftCapabilities, Me, TokenMetadata } from "../accounts/schemas.ts";
import { PRE_CLAIM_SCOPES } from "../agent-auth/schemas.ts";
import type { Approval } from "../approvals/schemas.ts";
import type { PendingPayment } from "../billing/schemas.ts";
import type { Budget, Contract, Milestone } from "../contracts/schemas.ts";
import type { Event } from "../events/schemas.ts";
import type { Delivery, Webhook } from "../webhooks/schemas.ts";

/**
 * The one story that the examples of the OpenAPI document tell: an agent came by itself, and Ada has claimed its
 * account. It finds a milestone of 450 dollars to fund, and asks; Ada confirms; it learns of it, plans a second batch, and
 * mints a narrower token.
 */
export const ORIGIN = "https://pay.example.com";

export const CONTRACT_ID = "contract-7";
export const MILESTONE_ID = "milestone-7-1";
const JOB_ID = "job-7";
/** The agent came by itself: the account has the id of its registration. */
const ACCOUNT_ID = "01a20793-8c80-7d5f-86e2-4b1c9a30f7d8";
const OWNER_ID = "01a20797-4bc0-7f3a-b1c2-54d0a1e8c9b7";
const INVOICE_ID = "01a207e4-317e-7b40-a3d5-0c713413241c";
/** No secret: what a preview leaves of one. */
const PREVIEW = "ot_pat_c3f9********bd21";

const CONTRACTED = "2026-11-23T09:00:00.000Z";
const SUBSCRIBED = "2026-11-23T09:10:00.000Z";
const ASKED = "2026-11-23T09:30:00.000Z";
const CONFIRMED = "2026-11-23T10:12:05.118Z";
const PLANNED = "2026-11-23T11:00:00.000Z";
const PASSED_ON = "2026-11-23T11:05:00.000Z";
const EXPIRES = "2026-11-26T09:30:00.000Z";

export const pending: Approval = {
  id: "01a207bd-a9c0-7c3e-9b1a-2f6d0c4be8a1",
  type: "milestone_fund",
  status: "pending",
  contractId: CONTRACT_ID,
  milestoneId: MILESTONE_ID,
  jobId: JOB_ID,
  proposalId: null,
  approvalUrl: `${ORIGIN}/approvals/01a207bd-a9c0-7c3e-9b1a-2f6d0c4be8a1`,
  expiresAt: EXPIRES,
  resolvedAt: null,
  result: null,
  createdAt: ASKED,
};
/** Asked for once the milestone is funded. */
export const releasing: Approval = { ...pending, type: "milestone_approve" };
export const ending: Approval = { ...pending, type: "contract_end", milestoneId: null };
export const withdrawn: Approval = {
  ...pending,
  status: "expired",
  resolvedAt: CONFIRMED,
  result: { reason: "withdrawn" },
};
/** A confirmed funding whose bank is still waited for. */
export const pendingPayment: PendingPayment = {
  id: INVOICE_ID,
  status: "PENDING_FUNDING",
  invoiceKind: "FUNDING",
  viewerRole: "EMPLOYER",
  amountUsd: 450,
  createdAt: CONFIRMED,
  invoiceNumber: 1,
  job: { id: JOB_ID, title: null },
  milestone: { id: MILESTONE_ID, name: "First batch" },
};
export const confirmed: Approval = {
  ...pending,
  status: "confirmed",
  resolvedAt: CONFIRMED,
  result: { invoiceId: INVOICE_ID, paymentIntentId: "pi_of_milestone_7_1" },
};
export const declined: Approval = { ...pending, status: "declined", resolvedAt: CONFIRMED };
export const expired: Approval = { ...pending, status: "expired", resolvedAt: EXPIRES };
export const endedEarly: Approval = {
  ...pending,
  status: "expired",
  resolvedAt: CONFIRMED,
  result: { reason: "terms_changed" },
};

const unfunded: Milestone = {
  id: MILESTONE_ID,
  name: "First batch",
  description: "Label 5,000 street scenes",
  status: "NOT_FUNDED",
  amountUsd: 450,
  volume: null,
  milestoneNumber: 1,
  dueDate: "2026-11-30T00:00:00.000Z",
  pendingApproval: false,
  needsReview: false,
  invoiceId: null,
  createdAt: CONTRACTED,
};
const funded: Milestone = { ...unfunded, status: "ACTIVE_FUNDED", invoiceId: INVOICE_ID };
export const secondBatch: Milestone = {
  ...unfunded,
  id: "01a20810-0f80-7d21-9e64-b8f05a2c7d13",
  name: "Second batch",
  description: "Label the next 3,000 street scenes",
  amountUsd: 300,
  milestoneNumber: 2,
  dueDate: "2026-12-15T00:00:00.000Z",
  createdAt: PLANNED,
};
/** As the agent finds it. */
export const contract: Contract = {
  id: CONTRACT_ID,
  status: "active",
  title: "Street scenes",
  jobId: JOB_ID,
  proposalId: null,
  paymentType: "FIXED_PRICE",
  rateUsd: null,
  estimatedTotalUsd: 450,
  estimatedVolume: null,
  hasActiveMilestone: false,
  startDate: CONTRACTED,
  endDate: null,
  createdAt: CONTRACTED,
  updatedAt: CONTRACTED,
  freelancer: {
    userId: "freelancer-3",
    displayName: "Maria G.",
    country: "Spain",
    profilePath: "/profile/maria-g",
  },
  milestones: [unfunded],
};
const budget: Budget = {
  contractId: CONTRACT_ID,
  paymentType: "FIXED_PRICE",
  state: "OK",
  fundedVolume: 0,
  fundedAmountUsd: 450,
  consumed: { seconds: 0, hours: 0, labels: 0, tasks: 0 },
  consumedVolume: 0,
  remainingVolume: 0,
  consumedFraction: 0,
  activeMilestone: {
    id: MILESTONE_ID,
    name: "First batch",
    amountUsd: 450,
    volume: null,
    status: "ACTIVE_FUNDED",
  },
  lastUsageAt: null,
};
/** As it stands when the second batch is planned. */
export const contractWithBudget = {
  ...contract,
  estimatedTotalUsd: 750,
  hasActiveMilestone: true,
  milestones: [funded, secondBatch],
  jobDmConversationId: null,
  budget,
};

const event = { apiVersion: "v1", jobId: JOB_ID } as const;
export const confirmation: Event = {
  ...event,
  id: "3",
  type: "approval.confirmed",
  createdAt: CONFIRMED,
  resourceId: confirmed.id,
  data: { approvalId: confirmed.id, status: "confirmed" },
};
export const funding: Event = {
  ...event,
  id: "4",
  type: "milestone.status_changed",
  createdAt: CONFIRMED,
  resourceId: MILESTONE_ID,
  data: { milestoneId: MILESTONE_ID, contractId: CONTRACT_ID, status: "ACTIVE_FUNDED" },
};

export const token: TokenMetadata = {
  id: "01a20799-0ac0-75a8-8d0f-93ce1b7f2a46",
  name: "Claude Code",
  preview: PREVIEW,
  scopes: ["payments:write", "webhooks:manage"],
  status: "active",
  organizationId: ACCOUNT_ID,
  createdAt: "2026-11-23T08:50:00.000Z",
  lastUsedAt: PASSED_ON,
  expiresAt: null,
  revokedAt: null,
};
export const narrower: TokenMetadata = {
  ...token,
  id: "01a20814-a360-7e0c-b5f7-2d9a60c41e85",
  name: "Reporting",
  preview: "ot_pat_9d0e********77ac",
  scopes: ["payments:read"],
  createdAt: PASSED_ON,
  lastUsedAt: null,
  expiresAt: "2026-12-31T00:00:00.000Z",
};
export const tokens: TokenMetadata[] = [narrower, token];
export const revoked: TokenMetadata = {
  ...narrower,
  status: "revoked",
  revokedAt: "2026-11-24T08:00:00.000Z",
};

export const me: Me = {
  actor: {
    userId: OWNER_ID,
    email: "ada@acme.example",
    firstName: "Ada",
    lastName: "Marsh",
    fullName: "Ada Marsh",
    userType: "EMPLOYER",
  },
  token: { id: token.id, label: token.name, scopes: token.scopes, ownerOrganizationId: ACCOUNT_ID },
  account: {
    kind: "employer_organization",
    organizationId: ACCOUNT_ID,
    ownerUserId: OWNER_ID,
    memberRole: "OWNER",
    claimed: true,
  },
};
export const unclaimed: Me = {
  actor: { ...me.actor, userId: null, email: null, firstName: null, lastName: null, fullName: null },
  token: { ...me.token, id: "01a20793-8c81-7a04-b9d6-f25e7c81a3b0", scopes: PRE_CLAIM_SCOPES },
  account: { ...me.account, ownerUserId: null, memberRole: null, claimed: false },
};
export const capabilities: Capabilities = {
  capabilities: { paymentsWrite: true, credits: true, webhooks: true },
  features: { public_api_payments_write: true, public_api_credits: true, public_api_webhooks: true },
  scopes: token.scopes,
  claimed: true,
};

export const jobDraftCapabilities: JobDraftCapabilities = {
  featureKey: "public_api_job_drafting",
  namespace: "job-drafts",
  rolloutMode: "ALLOWLIST",
  actorIsAdmin: false,
  capabilities: {
    draftImport: false,
    draftCreate: false,
    draftUpdate: false,
    draftUrlRead: false,
    publish: false,
    hiring: false,
    messagingWrites: false,
    team: false,
    ...capabilities.capabilities,
  },
  draft: null,
  authBootstrap: "token",
  enabled: true,
};

export const webhook: Webhook = {
  id: "01a207ab-5a40-7c95-a1e8-70b3d4f6219e",
  url: "https://agent.acme.example/webhooks",
  eventTypes: ["approval.confirmed", "milestone.status_changed"],
  status: "ACTIVE",
  createdAt: SUBSCRIBED,
  disabledAt: null,
  disabledReason: null,
};
export const disabled: Webhook = {
  ...webhook,
  status: "DISABLED",
  disabledAt: "2026-11-25T07:20:00.000Z",
  disabledReason: "The receiver answered 410 Gone.",
};
export const delivered: Delivery = {
  id: "01a207e4-317f-7a66-9c30-e51d8b02f4a7",
  eventId: confirmation.id,
  eventType: "approval.confirmed",
  status: "DELIVERED",
  attempts: 1,
  createdAt: CONFIRMED,
  lastAttemptAt: "2026-11-23T10:12:05.204Z",
  lastStatus: 200,
  lastError: null,
  nextAttemptAt: null,
  resolvedAt: "2026-11-23T10:12:05.311Z",
};
export const resent: Delivery = {
  ...delivered,
  status: "PENDING",
  attempts: 0,
  nextAttemptAt: "2026-11-23T12:00:00.000Z",
  resolvedAt: null,
};
