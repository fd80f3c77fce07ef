import { randomUUID } from "node:crypto";
import type { PaymentDeps } from "../../src/approvals/advance-service.ts";
import { confirmApproval, type Decider } from "../../src/approvals/decision-service.ts";
import { findForHuman } from "../../src/approvals/human-store.ts";
import { statementOf } from "../../src/approvals/statement-rules.ts";
import type { Db } from "../../src/database/connection.ts";
import type { App } from "../../src/http/app.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { NO_ORIGIN } from "../../src/lib/origin.ts";
import { type Decision, statementDigest } from "../../src/lib/statement.ts";
import { createActor } from "./actors.ts";
import { createFixture, createMilestone, type Fixture, fund, operate } from "./fixtures.ts";
import { createHuman, type HumanFixture } from "./humans.ts";
import type { TestCard } from "./rails.ts";

/** An approval that waits for a person. */
export type Story = { accountId: string; approvalId: string; milestone: string; path: string };

/** An account with one person, one card and what the agent asks that person for. */
export type Stories = { fixture: Fixture; human: HumanFixture; stories: Story[] };

/** Puts a test card on file, which pays from now on. @param card one of the rails', or a test method's name */
export async function putCard(app: App, account: string, card: TestCard | string): Promise<void> {
  const { paymentMethod, spoil } =
    typeof card === "string" ? { paymentMethod: card, spoil: undefined } : card;
  const put = await operate(app, "POST", `/accounts/${account}/payment-methods`, { paymentMethod });
  spoil?.(put.paymentMethod.id);
}

/** Approvals that wait, each for a milestone of its own, all to be paid by the same test card. */
export async function createStories(app: App, card: TestCard | string, count: number): Promise<Stories> {
  const fixture = await createFixture(app, { card: false });
  await putCard(app, fixture.account, card);
  const human = await createHuman(app, fixture.account);
  const stories: Story[] = [];
  for (let i = 1; i <= count; i++) {
    const milestone = `${fixture.milestone}-${i}`;
    await createMilestone(app, fixture, milestone);
    stories.push(await ask(app, fixture, milestone));
  }
  return { fixture, human, stories };
}

/** The agent asks for a milestone to be funded. */
export async function ask(app: App, { account, token }: Fixture, milestone: string): Promise<Story> {
  const { body } = await fund(app, token, milestone);
  const approvalId: string = body.approval.id;
  return { accountId: accountKey(account), approvalId, milestone, path: `/approvals/${approvalId}` };
}

type Subject = { accountId: string; approvalId: string };

/** The person who may decide for an account, with a password typed just now. */
export async function deciderOf(db: Db, { accountId }: Subject): Promise<Decider> {
  const { user_id } = await db
    .selectFrom("members")
    .where("account_id", "=", accountId)
    .where("status", "=", "active")
    .select("user_id")
    .executeTakeFirstOrThrow();
  return {
    actor: await createActor(db, user_id ?? ""),
    name: "Ada Owner",
    origin: NO_ORIGIN,
    presence: { kind: "password", provedAt: new Date() },
  };
}

/** What the page of an approval would have signed if it were shown now. */
export async function readStatement(db: Db, subject: Subject, decision: Decision) {
  const row = await findForHuman(db, [subject.accountId], subject.approvalId);
  if (row === undefined) throw new Error(`no approval ${subject.approvalId}`);
  const nonce = randomUUID();
  return { nonce, digest: statementDigest(statementOf(row, decision, nonce)) };
}

/** Confirms what stands on the page now, without HTTP. */
export async function confirmNow(deps: PaymentDeps, subject: Subject): Promise<void> {
  const signed = await readStatement(deps.db, subject, "confirm");
  await confirmApproval(deps, subject, await deciderOf(deps.db, subject), signed);
}

/** Where a story stands: its approval, and its newest payment attempt if there is one. */
export async function readOutcome(
  db: Db,
  { accountId, approvalId }: Subject,
): Promise<{ approval: string; payment: string | undefined }> {
  const { status } = await db
    .selectFrom("approvals")
    .where("account_id", "=", accountId)
    .where("id", "=", approvalId)
    .select("status")
    .executeTakeFirstOrThrow();
  const payment = await db
    .selectFrom("payments")
    .where("account_id", "=", accountId)
    .where("approval_id", "=", approvalId)
    .select("status")
    .orderBy("created_at", "desc")
    .orderBy("id", "desc")
    .executeTakeFirst();
  return { approval: status, payment: payment?.status };
}
