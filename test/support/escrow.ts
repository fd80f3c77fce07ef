import { expect } from "vitest";
import type { PaymentDeps } from "../../src/approvals/advance-service.ts";
import type { RefundResult } from "../../src/approvals/escrow-store.ts";
import type { Approval } from "../../src/approvals/schemas.ts";
import type { App } from "../../src/http/app.ts";
import { accountKey } from "../../src/lib/ids.ts";
import {
  type Answer,
  call,
  createFixture,
  createMilestone,
  type Fixture,
  fund,
  MARIA,
  operate,
} from "./fixtures.ts";
import { createHuman, type HumanFixture } from "./humans.ts";
import type { TestCard } from "./rails.ts";
import { confirmNow, putCard, type Story } from "./stories.ts";

/** A contract whose milestones are funded, and a person who may decide. */
export type Escrow = { fixture: Fixture; human: HumanFixture; accountId: string; milestones: string[] };

export const PAYOUT_ACCOUNT = "acct_1Maria";

/** Names where a contract's payee is paid; null: nowhere. */
export async function setPayoutAccount(
  app: App,
  fixture: Fixture,
  payoutAccount: string | null,
): Promise<void> {
  await operate(app, "PUT", `/accounts/${fixture.account}/contracts/${fixture.contract}`, {
    freelancer: { ...MARIA, ...(payoutAccount !== null && { payoutAccount }) },
  });
}

/** An account with a contract and milestones that its person has funded by a card. */
export async function createEscrow(
  app: App,
  deps: PaymentDeps,
  {
    card = "pm_card_visa",
    count = 1,
    payoutAccount = PAYOUT_ACCOUNT,
  }: { card?: TestCard | string; count?: number; payoutAccount?: string | null } = {},
): Promise<Escrow> {
  const fixture = await createFixture(app, { card: false });
  await setPayoutAccount(app, fixture, payoutAccount);
  await putCard(app, fixture.account, card);
  const human = await createHuman(app, fixture.account);
  const milestones: string[] = [];
  for (let i = 1; i <= count; i++) {
    const milestone = i === 1 ? fixture.milestone : `${fixture.milestone}-${i}`;
    if (i > 1) await createMilestone(app, fixture, milestone);
    await confirmNow(deps, storyOf(fixture, await fund(app, fixture.token, milestone), milestone));
    milestones.push(milestone);
  }
  return { fixture, human, accountId: accountKey(fixture.account), milestones };
}

/** The approval that a request was answered with. */
export function storyOf({ account }: Fixture, answer: Answer, milestone: string): Story {
  expect(answer.status, answer.text).toBe(202);
  const { id } = answer.body.approval;
  return { accountId: accountKey(account), approvalId: id, milestone, path: `/approvals/${id}` };
}

/** Asks for a milestone's money to be released. */
export function release(app: App, token: string, milestone: string): Promise<Answer> {
  return call(app, "POST", `/milestones/${milestone}/approve`, { token });
}

/** Asks for a contract to be ended. */
export function endContract(app: App, token: string, contract: string): Promise<Answer> {
  return call(app, "POST", `/api/public/v1/contracts/${contract}/end`, { token });
}

export async function askRelease(app: App, { fixture, milestones }: Escrow, i = 0): Promise<Story> {
  const milestone = milestones[i] ?? "";
  return storyOf(fixture, await release(app, fixture.token, milestone), milestone);
}

export async function askEnd(app: App, { fixture }: Escrow): Promise<Story> {
  return storyOf(fixture, await endContract(app, fixture.token, fixture.contract), "");
}

/** An approval as the agent reads it; `refunds` are those of a contract's end. */
type ReadApproval = Omit<Approval, "result"> & {
  result: { refunds: RefundResult[] } & Record<string, unknown>;
};

export async function readApproval(
  app: App,
  { fixture }: Escrow,
  { approvalId }: Story,
): Promise<ReadApproval> {
  return (await call(app, "GET", `/approvals/${approvalId}`, { token: fixture.token })).body.approval;
}

/** The state of each of the escrow's milestones, as the operator reads it. */
export function readMilestones(app: App, { fixture, milestones }: Escrow): Promise<string[]> {
  return Promise.all(
    milestones.map(async (id) => {
      const { milestone } = await operate(app, "GET", `/accounts/${fixture.account}/milestones/${id}`);
      return milestone.status as string;
    }),
  );
}
