import { describe, expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { sendApprovalMails } from "../../src/approvals/mail-service.ts";
import { receiveProcessorEvent } from "../../src/approvals/processor-event-service.ts";
import { extendOperatorFeed, readOperatorUpdates } from "../../src/events/operator-service.ts";
import { newId } from "../../src/lib/ids.ts";
import { askEnd, askRelease, createEscrow, type Escrow } from "../support/escrow.ts";
import { createMilestone } from "../support/fixtures.ts";
import { createHuman } from "../support/humans.ts";
import { mailsTo } from "../support/mails.ts";
import { openStripeRails } from "../support/rails.ts";
import { startService } from "../support/service.ts";
import { ask, confirmNow, putCard } from "../support/stories.ts";

const rails = await openStripeRails();
const { stripe } = rails;
const { app, db, config } = await startService({}, undefined, rails);
const deps = { db, config, processor: rails.open(db), logger: createLogger("silent") };

type Told = { subjects: string[]; last: string };

/** What the owner is mailed of money meanwhile; never less urgent than other mail. */
async function toldBy({ human }: Escrow, work: () => Promise<unknown>): Promise<Told> {
  const before = (await mailsTo(db, human.email)).length;
  await work();
  const mails = (await mailsTo(db, human.email)).slice(before);
  const slow = await db
    .selectFrom("mails")
    .where("recipient", "=", human.email)
    .where("subject", "in", mails.map(({ subject }) => subject).concat(""))
    .where("urgent", "=", false)
    .select("subject")
    .execute();
  expect(slow).toEqual([]);
  return { subjects: mails.map(({ subject }) => subject), last: mails.at(-1)?.body ?? "" };
}

const one = <T extends { id: string; metadata: Record<string, string> | null }>(
  all: Map<string, T>,
  escrow: Escrow,
): T => {
  const found = [...all.values()].find(({ metadata }) => metadata?.accountId === escrow.accountId);
  if (found === undefined) throw new TypeError("it was sent");
  return found;
};

function tell(escrow: Escrow, given: object): Promise<void> {
  const event = { type: "", intentId: null, setupId: null, sessionId: null, sent: null };
  return receiveProcessorEvent(deps, { id: newId(), ...event, accountId: escrow.accountId, ...given });
}

describe("the account's owners and approvers are mailed, before all other mail", () => {
  test("that money was funded: who confirmed, how much, for whom, from where; a viewer is not", async () => {
    const escrow = await createEscrow(app, deps);
    const { fixture } = escrow;
    const viewer = await createHuman(app, fixture.account, "viewer");
    const approver = await createHuman(app, fixture.account, "approver").catch(() => undefined);
    await createMilestone(app, fixture, `${fixture.milestone}-more`);
    const story = await ask(app, fixture, `${fixture.milestone}-more`);
    const { subjects, last } = await toldBy(escrow, () => confirmNow(deps, story));
    expect(subjects).toEqual([expect.stringContaining("$450.00 USD was funded for “Maria G.”")]);
    expect(last).toContain("The card on file was charged $450.00 USD.");
    expect(last).toMatch(/Confirmed by “Ada Owner” \(.+@example\.com\)\./);
    expect(last).toContain(`/approvals/${story.approvalId}`);
    expect(await mailsTo(db, viewer.email)).not.toContainEqual(
      expect.objectContaining({ subject: expect.stringContaining("funded") }),
    );
    expect(approver === undefined || (await mailsTo(db, approver.email)).length > 0).toBe(true);
  });

  test("that it was released, and that the payout came back", async () => {
    const escrow = await createEscrow(app, deps);
    const story = await askRelease(app, escrow);
    const released = await toldBy(escrow, () => confirmNow(deps, story));
    expect(released.subjects).toEqual([expect.stringContaining("$450.00 USD was released to “Maria G.”")]);
    expect(released.last).toContain("Released money cannot be taken back.");
    const { id } = one(stripe.books.transfers, escrow);
    stripe.reverseTransfer(id);
    const back = await toldBy(escrow, () => tell(escrow, { sent: { kind: "payout", id } }));
    expect(back.subjects).toEqual([
      expect.stringContaining("a payout of $450.00 USD to “Maria G.” came back"),
    ]);
    expect(back.last).toContain("held in escrow again");
    expect(back.last).not.toContain("Confirmed by");
  });

  test("that the contract has ended, with each sum and where it went, and that a refund came back", async () => {
    const escrow = await createEscrow(app, deps, { count: 2 });
    const story = await askEnd(app, escrow);
    const ended = await toldBy(escrow, () => confirmNow(deps, story));
    expect(ended.subjects).toEqual([
      expect.stringContaining("the contract “Street scenes” has ended and $900.00 USD was refunded"),
    ]);
    expect(ended.last).toContain("$900.00 USD to the card that paid it");
    const { id } = one(stripe.books.refunds, escrow);
    stripe.failRefund(id);
    const back = await toldBy(escrow, () => tell(escrow, { sent: { kind: "refund", id } }));
    expect(back.subjects).toEqual([expect.stringContaining("a refund of $450.00 USD came back")]);
    expect(back.last).toContain("added to the account's credits");
  });

  test("that a card was refused, and why", async () => {
    const escrow = await createEscrow(app, deps);
    const { fixture } = escrow;
    await putCard(app, fixture.account, rails.cards.declines);
    await createMilestone(app, fixture, `${fixture.milestone}-more`);
    const story = await ask(app, fixture, `${fixture.milestone}-more`);
    const { subjects, last } = await toldBy(escrow, () => confirmNow(deps, story));
    expect(subjects).toEqual([expect.stringContaining("$450.00 USD was refused")]);
    expect(last).toContain("No money has moved.");
    expect(last).toContain("Reason: The card was declined.");
  });

  test("that a payment is disputed, and how that was decided", async () => {
    const escrow = await createEscrow(app, deps);
    const intentId = String(one(stripe.books.charges, escrow).payment_intent);
    const { id } = stripe.dispute(intentId);
    const opened = await toldBy(escrow, () => tell(escrow, { type: "charge.dispute.created", intentId }));
    expect(opened.subjects).toEqual([expect.stringContaining("a payment of $450.00 USD is disputed")]);
    expect(opened.last).toContain("can be neither released nor refunded");
    stripe.closeDispute(id, "won");
    const closed = await toldBy(escrow, () => tell(escrow, { type: "charge.dispute.closed", intentId }));
    expect(closed.last).toContain("“won”");
  });
});

test.each(["funding", "release", "end"])(
  "The operator's feed reports a %s that is decided at once, before its decision, and once",
  async (kind) => {
    const escrow = await createEscrow(app, deps);
    const more = `${escrow.fixture.milestone}-more`;
    const asked = {
      funding: async () => {
        await createMilestone(app, escrow.fixture, more);
        return ask(app, escrow.fixture, more);
      },
      release: () => askRelease(app, escrow),
      end: () => askEnd(app, escrow),
    }[kind];
    const { approvalId } = (await asked?.()) ?? expect.fail();
    await confirmNow(deps, { accountId: escrow.accountId, approvalId });
    await sendApprovalMails(deps);
    await extendOperatorFeed(db);
    const { events } = await readOperatorUpdates(db, { limit: 200 });
    const told = events.filter(({ resourceId }) => resourceId === approvalId).map(({ type }) => type);
    expect(told).toEqual(["approval.requested", "approval.confirmed"]);
  },
);
