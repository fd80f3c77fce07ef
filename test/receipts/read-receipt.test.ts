import { hash } from "node:crypto";
import { createLocalJWKSet, flattenedVerify } from "jose";
import { describe, expect, test } from "vitest";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { canonicalText } from "../../src/lib/canonical.ts";
import { call, createFixture, fund, operate } from "../support/fixtures.ts";
import { createChain, decideEveryWay, judge, linkedContent, readReceipt } from "../support/receipts.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import { confirmNow, type Story } from "../support/stories.ts";

const service = await startService();
const { app, db, config } = service;
const deps = { ...service, processor: createSandbox(db, PUBLIC_URL) };

describe("a receipt", () => {
  test("a receipt holds request, asker, statements, proofs, payments and its place in the chain", async () => {
    const { fixture, byPassword } = await decideEveryWay(deps);
    const { receipt, story } = byPassword;
    const { approval } = (await call(app, "GET", story.path, { token: fixture.token })).body;
    expect(receipt).toMatchObject({
      v: 1,
      accountId: fixture.account,
      accountName: "Acme",
      approval: {
        id: story.approvalId,
        type: "milestone_fund",
        status: "confirmed",
        coSign: "session",
        createdAt: approval.createdAt,
        expiresAt: approval.expiresAt,
        resolvedAt: approval.resolvedAt,
        result: approval.result,
      },
      terms: { amountCents: 45_000, currency: "usd", milestoneId: story.milestone },
      askedBy: { name: "Test agent", preview: expect.stringMatching(/^ot_pat_\w{4}\*{8}/) },
      statements: [
        {
          statement: {
            v: 1,
            action: "milestone_fund",
            approvalId: story.approvalId,
            decision: "confirm",
            terms: receipt.terms,
            source: { kind: "card", last4: "4242" },
          },
          signedBy: { name: "Ada Owner", email: expect.stringContaining("@example.com") },
          proof: { kind: "password", provedAt: expect.stringMatching(/Z$/) },
        },
      ],
      payments: [{ status: "succeeded", amountCents: 45_000, intentId: approval.result.paymentIntentId }],
      chain: { index: 1, previousDigest: "0".repeat(64) },
    });
    expect(receipt.ledger.map(({ account, amountCents }) => [account, amountCents])).toEqual([
      ["processor", 45_000],
      [`milestone:${story.milestone}`, -45_000],
    ]);
  });

  test("a receipt verifies for every decision and every kind of proof", async () => {
    const { byPassword, byPasskey, afterRefusal, declined } = await decideEveryWay(deps);
    for (const { bytes } of [byPassword, byPasskey, afterRefusal, declined])
      expect(await judge(bytes)).toBe("genuine");
    const kinds = [byPassword, byPasskey, afterRefusal, declined].map(({ receipt }) => [
      receipt.approval.status,
      receipt.statements.map(({ proof }) => proof.kind),
      receipt.payments.map(({ status }) => status),
    ]);
    expect(kinds).toEqual([
      ["confirmed", ["password"], ["succeeded"]],
      ["confirmed", ["passkey"], ["succeeded"]],
      ["confirmed", ["password", "password"], ["refused", "succeeded"]],
      ["declined", ["session"], []],
    ]);
  });

  test("a receipt's digest covers its content and the previous receipt's digest", async () => {
    const { byPassword, byPasskey, afterRefusal, declined } = await decideEveryWay(deps);
    const receipts = [byPassword, byPasskey, afterRefusal, declined].map(({ receipt }) => receipt);
    let before = "0".repeat(64);
    for (const [i, receipt] of receipts.entries()) {
      expect(receipt.chain).toMatchObject({ index: i + 1, previousDigest: before });
      expect(hash("sha256", canonicalText(linkedContent(receipt)), "hex")).toBe(receipt.chain.digest);
      before = receipt.chain.digest;
    }
  });

  test("other software verifies a receipt's JSON Web Signature by the published keys", async () => {
    const { token, stories } = await createChain(deps, 1);
    await confirmNow(deps, stories[0] as Story);
    const { receipt } = await readReceipt(deps, token, stories[0] as Story);
    const { signature, ...payload } = receipt;
    const jwks = (await call(app, "GET", "/.well-known/jwks.json")).body;
    const jws = { ...signature, payload: Buffer.from(canonicalText(payload)).toString("base64url") };
    const { protectedHeader } = await flattenedVerify(jws, createLocalJWKSet(jwks));
    expect(protectedHeader).toEqual({ alg: "EdDSA", kid: jwks.keys[0].kid, typ: "countersign-receipt" });
  });

  test("a receipt stays the same to the byte after later changes", async () => {
    const { fixture, byPassword } = await decideEveryWay(deps);
    await operate(app, "PUT", `/accounts/${fixture.account}`, { name: "Another name" });
    await operate(app, "PUT", `/accounts/${fixture.account}/contracts/${fixture.contract}`, {
      title: "Other",
    });
    await operate(app, "POST", `/accounts/${fixture.account}/payment-methods`, {
      paymentMethod: "pm_card_visa",
    });
    await db
      .updateTable("members")
      .set({ name: "Mallory", email: "m@example.com" })
      .where("user_id", "is not", null)
      .execute();
    const { bytes } = await readReceipt(deps, fixture.token, byPassword.story);
    expect(bytes.equals(byPassword.bytes)).toBe(true);
  });

  test("an undecided or expired approval's receipt is 409", async () => {
    const { token, milestone } = await createFixture(app);
    const { approval } = (await fund(app, token, milestone)).body;
    const read = () => call(app, "GET", `/approvals/${approval.id}/receipt`, { token });
    const details = { reason: "no_receipt", approvalId: approval.id };
    expect([(await read()).status, (await read()).body.details]).toEqual([409, details]);
    await db
      .updateTable("approvals")
      .set({ status: "expired", resolved_at: new Date() })
      .where("id", "=", approval.id)
      .execute();
    expect([(await read()).status, (await read()).body.details]).toEqual([409, details]);
  });
});

describe("the keys at /.well-known/jwks.json", () => {
  const SEEDS = ["n", "o"].map((letter) => Buffer.alloc(32, letter).toString("base64"));

  test("the published keys are all seeds and retired keys; the first seed signs, old receipts verify", async () => {
    const before = await startService({ RECEIPT_SIGNING_KEY: SEEDS[1] ?? "" }, config.databaseUrl);
    const [old] = (await call(before.app, "GET", "/.well-known/jwks.json")).body.keys;
    const retired = (await call(app, "GET", "/.well-known/jwks.json")).body.keys[0];
    const rotated = await startService(
      { RECEIPT_SIGNING_KEY: SEEDS.join(","), RECEIPT_RETIRED_KEYS: retired.x },
      config.databaseUrl,
    );
    const jwks = (await call(rotated.app, "GET", "/.well-known/jwks.json")).body;
    expect(jwks.keys.map(({ x }: { x: string }) => x)).toEqual([expect.any(String), old.x, retired.x]);
    expect(Object.keys(jwks.keys[0])).toEqual(["kty", "crv", "x", "kid", "use", "alg"]);
    const { token, stories } = await createChain(deps, 1);
    await confirmNow(deps, stories[0] as Story);
    for (const [one, kid] of [
      [before, old.kid],
      [rotated, jwks.keys[0].kid],
      [service, retired.kid],
    ] as const) {
      const { signature, ...payload } = (await readReceipt(one, token, stories[0] as Story)).receipt;
      const jws = { ...signature, payload: Buffer.from(canonicalText(payload)).toString("base64url") };
      const { protectedHeader } = await flattenedVerify(jws, createLocalJWKSet(jwks));
      expect(protectedHeader?.kid).toBe(kid);
    }
  });
});
