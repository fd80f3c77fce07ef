import type { CreditEntry, TopUp, TopUpAsked } from "../billing/credit-schemas.ts";
import * as story from "./story.ts";

/** What the examples say of credits: a top-up that Ada has paid for, and the milestone that it reserved money for. */
export const topUp: TopUp = {
  id: "01a20820-2a40-7c11-8d5e-6b0f9d3a7e25",
  status: "COMPLETED",
  amountCents: 100_000,
  createdAt: "2026-11-23T12:00:00.000Z",
  completedAt: "2026-11-23T12:07:31.402Z",
  expiresAt: "2026-11-24T12:00:00.000Z",
};

export const asked: TopUpAsked = {
  topUpId: topUp.id,
  checkoutUrl: `${story.ORIGIN}/top-ups/${topUp.id}`,
  expiresAt: topUp.expiresAt,
  topUp: { ...topUp, status: "PENDING", completedAt: null },
  message: "Nothing is paid yet. Give `checkoutUrl` to your human.",
};

const paid: CreditEntry = {
  id: "01a20827-0b5a-7e47-9c02-1f8e6d5a4b30",
  type: "TOP_UP",
  amountCents: 100_000,
  createdAt: topUp.completedAt ?? "",
  holdEntryId: null,
  jobofferId: null,
  contractId: null,
  milestoneId: null,
  topUpId: topUp.id,
  note: null,
};

/** Newest first. */
export const entries: CreditEntry[] = [
  {
    ...paid,
    id: "01a20831-9f10-7a83-b6d4-3c7e2a1f0d58",
    type: "HOLD",
    amountCents: -30_000,
    createdAt: "2026-11-23T12:20:00.000Z",
    jobofferId: story.pending.jobId,
    contractId: story.CONTRACT_ID,
    milestoneId: story.secondBatch.id,
    topUpId: null,
  },
  paid,
];
