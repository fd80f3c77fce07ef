import { describe, expect, test } from "vitest";
import { audit } from "../../src/app/audit.ts";
import { confirmApproval } from "../../src/approvals/decision-service.ts";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { canonicalDigest } from "../../src/lib/canonical.ts";
import { NO_ORIGIN } from "../../src/lib/origin.ts";
import { linkDigest } from "../../src/receipts/receipt-rules.ts";
import { describeReceipt } from "../../src/receipts/report.ts";
import type { LinkedContent, Receipt } from "../../src/receipts/schemas.ts";
import { signReceipt } from "../../src/receipts/signature.ts";
import { createActor } from "../support/actors.ts";
import { createFixture, operate } from "../support/fixtures.ts";
import { createHuman, type HumanFixture, open } from "../support/humans.ts";
import { userIdOf } from "../support/passkeys.ts";
import {
  confirmByPasskey,
  declineNow,
  judge,
  linkedContent,
  readReceipt,
  SIGNING_KEY,
} from "../support/receipts.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import { ask, putCard, readStatement, type Story } from "../support/stories.ts";

const service = await startService();
const { app, db, config } = service;
const deps = { ...service, processor: createSandbox(db, PUBLIC_URL) };

/** A request in Ada's account that two people must sign. */
async function begin(card = "pm_card_visa") {
  const fixture = await createFixture(app, { card: false });
  await putCard(app, fixture.account, card);
  await operate(app, "PUT", `/accounts/${fixture.account}`, { secondSignerFromUsd: 450 });
  const ada = await createHuman(app, fixture.account);
  const story = await ask(app, fixture, fixture.milestone);
  return { fixture, story, ada };
}

async function addApprover({ fixture: { account } }: Awaited<ReturnType<typeof begin>>) {
  const person = await createHuman(app, account, "viewer");
  await db.updateTable("members").set({ role: "approver" }).where("id", "=", person.memberId).execute();
  return person;
}

async function confirmAs({ email, name }: HumanFixture, story: Story): Promise<void> {
  const actor = await createActor(db, await userIdOf(db, email));
  const presence = { kind: "password", provedAt: new Date() } as const;
  const decider = { actor, name, origin: NO_ORIGIN, presence };
  await confirmApproval(deps, story, decider, await readStatement(db, story, "confirm"));
}

/** Forges a receipt as the holder of the service's key can: with correct digests, and signed. */
function forge(receipt: Receipt, change: (content: LinkedContent) => void): string {
  const content = structuredClone(linkedContent(receipt));
  change(content);
  const { chain, ...rest } = content;
  return JSON.stringify({
    receipt: signReceipt({ ...rest, chain: { ...chain, digest: linkDigest(content) } }, SIGNING_KEY),
  });
}

describe("the receipt of a payment that two people signed", () => {
  test("a receipt of a payment by two people holds both signatures and verifies", async () => {
    const world = await begin();
    const { fixture, story, ada } = world;
    await confirmByPasskey(deps, story);
    await confirmAs(await addApprover(world), story);
    const { receipt, bytes } = await readReceipt({ app }, fixture.token, story);
    expect(await judge(bytes)).toBe("genuine");
    expect(receipt.approval).toMatchObject({ status: "confirmed", secondSignerFromCents: 45_000 });
    expect(receipt.statements.map(({ proof, signersRequired }) => [proof.kind, signersRequired])).toEqual([
      ["passkey", 2],
      ["password", 2],
    ]);
    expect(new Set(receipt.statements.map(({ signedBy }) => signedBy.userId)).size).toBe(2);
    expect(receipt.payments.map(({ statements }) => statements)).toEqual([
      receipt.statements.map(({ digest }) => digest),
    ]);
    expect(describeReceipt(receipt).filter((line) => line.includes("two people required"))).toHaveLength(2);
    expect((await open(app, `${story.path}/receipt`, ada)).text.match(/Confirmed by/g)).toHaveLength(2);
    const lines: string[] = [];
    expect(await audit(config, [], (line) => lines.push(line)), lines.join("\n")).toBe(0);
  });

  test("a receipt by two people is refused when a signature is removed or replaced and all is re-signed", async () => {
    const world = await begin();
    const { fixture, story, ada } = world;
    await confirmAs(ada, story);
    await confirmAs(await addApprover(world), story);
    const { receipt } = await readReceipt({ app }, fixture.token, story);
    const cases: [string, (content: LinkedContent) => void][] = [
      ["is for a statement that is not there", ({ statements }) => void statements.shift()],
      [
        "was made for 1 signatures, and 2 were required",
        ({ statements, payments: [payment] }) => {
          statements.shift();
          payment?.statements.shift();
        },
      ],
      [
        "one person confirmed what needs two",
        ({ statements, payments: [payment] }) => {
          statements.shift();
          payment?.statements.shift();
          for (const one of statements) one.signersRequired = 1;
        },
      ],
      [
        "two signatures of one person",
        ({ statements: [first, second] }) => {
          if (first && second) second.signedBy = first.signedBy;
        },
      ],
      [
        "signatures over different things",
        ({ statements: [first], payments: [payment] }) => {
          if (first?.statement.source == null || payment === undefined) throw new Error("no card");
          first.statement.source.last4 = "0000";
          first.digest = canonicalDigest(first.statement).toString("hex");
          payment.statements[0] = first.digest;
        },
      ],
    ];
    for (const [fault, change] of cases) expect(await judge(forge(receipt, change)), fault).toContain(fault);
  });

  test("a receipt lists a first signature that led to no payment, and says so", async () => {
    const world = await begin("pm_card_chargeDeclined");
    const { fixture, story, ada } = world;
    await confirmAs(ada, story);
    await putCard(app, fixture.account, "pm_card_visa");
    await confirmAs(await addApprover(world), story);
    await confirmAs(ada, story);
    const { receipt, bytes } = await readReceipt({ app }, fixture.token, story);
    expect(await judge(bytes)).toBe("genuine");
    expect([receipt.statements.length, receipt.payments[0]?.statements.length]).toEqual([3, 2]);
    expect((await open(app, `${story.path}/receipt`, ada)).text.match(/It did not count/g)).toHaveLength(1);
  });

  test("a receipt of a decline after the first signature holds both statements", async () => {
    const { fixture, story, ada } = await begin();
    await confirmAs(ada, story);
    await declineNow(deps, story);
    const { receipt, bytes } = await readReceipt({ app }, fixture.token, story);
    expect(await judge(bytes)).toBe("genuine");
    expect(receipt.statements.map(({ statement }) => statement.decision)).toEqual(["confirm", "decline"]);
  });
});
