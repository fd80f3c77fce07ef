import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { describe, expect, test } from "vitest";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { canonicalDigest } from "../../src/lib/canonical.ts";
import { findFaults, linkDigest } from "../../src/receipts/receipt-rules.ts";
import type { LinkedContent, Receipt } from "../../src/receipts/schemas.ts";
import { signReceipt } from "../../src/receipts/signature.ts";
import { verifyChain } from "../../src/receipts/verifier.ts";
import { Authenticator } from "../support/authenticator.ts";
import { count } from "../support/long.ts";
import {
  confirmByPasskey,
  createChain,
  decideEveryWay,
  declineNow,
  judge,
  linkedContent,
  passkeyProof,
  readReceipt,
  SIGNING_KEY,
} from "../support/receipts.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import type { Story } from "../support/stories.ts";
import { fundingOf } from "../support/terms.ts";
import { dice, mutate } from "./mutations.ts";

const service = await startService();
const deps = { ...service, processor: createSandbox(service.db, PUBLIC_URL) };
const every = await decideEveryWay(deps);
const genuine = [every.byPassword, every.byPasskey, every.afterRefusal, every.declined];

const SEED = Number(process.env.MUTATION_SEED ?? Date.now() % 1_000_000);
const MUTATIONS = count(100, 1_000);

/** Forges a receipt as the holder of the service's key can: with correct digests, and signed. */
function issue(content: LinkedContent, key: KeyObject = SIGNING_KEY): string {
  const { chain, ...rest } = content;
  const receipt = { ...rest, chain: { ...chain, digest: linkDigest(content) } };
  return JSON.stringify({ receipt: signReceipt(receipt, key) });
}

/** The receipt's content after `change`, with its statements' digests corrected, in the payments too. */
function forge(receipt: Receipt, change: (content: LinkedContent) => void): LinkedContent {
  const content = structuredClone(linkedContent(receipt));
  change(content);
  const renamed = new Map<string, string>();
  for (const signed of content.statements) {
    const digest = canonicalDigest(signed.statement).toString("hex");
    renamed.set(signed.digest, digest);
    signed.digest = digest;
  }
  for (const payment of content.payments)
    payment.statements = payment.statements.map((digest) => renamed.get(digest) ?? digest);
  return content;
}

type Values = { [key: string]: unknown };

/** Sets a value at a path of keys. */
function put(within: object, path: string, value: unknown): void {
  const keys = path.split(".");
  const last = keys.pop() ?? "";
  const holder = keys.reduce((held, key) => held[key] as Values, within as Values);
  holder[last] = value;
}

describe("a genuine receipt", () => {
  test("a genuine receipt verifies as answered, unwrapped and reformatted", async () => {
    for (const { receipt, bytes } of genuine) {
      expect(await judge(bytes)).toBe("genuine");
      expect(await judge(JSON.stringify(receipt))).toBe("genuine");
      expect(await judge(JSON.stringify({ receipt }, null, 2))).toBe("genuine");
      const reversed = Object.fromEntries(Object.entries(receipt).reverse());
      expect(await judge(`\n\t${JSON.stringify(reversed)} \r\n`)).toBe("genuine");
    }
  });

  test(`a genuine receipt is refused after any of ${MUTATIONS} changes (seed ${SEED})`, async () => {
    const roll = dice(SEED);
    const believed: string[] = [];
    const ways = new Set<string>();
    for (let i = 0; i < MUTATIONS; i++) {
      const { bytes } = genuine[i % genuine.length] as (typeof genuine)[0];
      const mutation = mutate(bytes.toString(), roll);
      ways.add(mutation.way);
      if ((await judge(mutation.bytes)) === "genuine")
        believed.push(`${mutation.way}: ${mutation.bytes.toString()}`);
    }
    expect(believed).toEqual([]);
    expect(ways.size).toBe(13);
  });
});

describe("a receipt that was forged whole", () => {
  const { privateKey: foreign } = generateKeyPairSync("ed25519");

  test("a receipt signed by another key is refused, also when it names the trusted key", async () => {
    for (const { receipt } of genuine) {
      const file = issue(linkedContent(receipt), foreign);
      expect(await judge(file)).toContain("not signed by the key that you trust");
      expect(await judge(file, [createPublicKey(foreign)])).toBe("genuine");
      const forged = JSON.parse(file);
      forged.receipt.signature.protected = receipt.signature.protected;
      expect(await judge(JSON.stringify(forged))).toContain("not signed by the key that you trust");
    }
  });

  test("the holder of the service's key cannot forge what a passkey signed", async () => {
    const { receipt } = every.byPasskey;
    const statement = (content: LinkedContent) => content.statements[0] as LinkedContent["statements"][0];
    const raise = forge(receipt, (content) => {
      for (const terms of [content.terms, statement(content).statement.terms])
        fundingOf(terms).amountCents = 90_000;
      for (const payment of content.payments) payment.amountCents = 90_000;
      for (const line of content.ledger) line.amountCents *= 2;
    });
    const redirect = forge(receipt, (content) => {
      for (const terms of [content.terms, statement(content).statement.terms])
        fundingOf(terms).payee.userId = "mallory";
    });
    const replay = forge(receipt, (content) => {
      content.approval.id = every.byPassword.receipt.approval.id;
      statement(content).statement.approvalId = content.approval.id;
    });
    const turned = forge(receipt, (content) => {
      content.approval.status = "declined";
      content.approval.result = null;
      statement(content).statement.decision = "decline";
      statement(content).statement.source = null;
      content.payments = [];
      content.ledger = [];
    });
    for (const content of [raise, redirect, replay, turned])
      expect(await judge(issue(content))).toBe("statement 1 was not signed with the passkey that is named");
  });

  test("a receipt that contradicts itself is refused, though its digests and signature are right", async () => {
    const { receipt } = every.afterRefusal;
    const cases: [string, string, unknown][] = [
      ["statement 2 is of another account", "statements.1.statement.accountId", "other"],
      ["statement 1 is over other terms", "statements.0.statement.terms.amountCents", 1],
      ["statement 2 was signed before it was asked", "statements.1.signedAt", "2020-01-01T00:00:00.000Z"],
      ["it says confirmed, and what was signed does not", "statements.1.statement.decision", "decline"],
      ["it says confirmed, and what was signed does not", "statements", []],
      ["the last payment is not for what was signed last", "payments", []],
      ["refused, which does not fit", "payments.1.status", "refused"],
      ["is not over $450.00 USD", "payments.1.amountCents", 44_999],
      ["the payment that it names", "approval.result.paymentIntentId", "pi_other"],
      ["does not sum to zero", "ledger.0.amountCents", 44_999],
      ["what was booked is not what was paid", "ledger", []],
      ["without a passkey", "approval.coSign", "passkey"],
      ["something else than its terms", "approval.milestoneId", "milestone-other"],
      ["something else than its terms", "approval.contractId", "contract-other"],
      ["something else than its terms", "approval.jobId", "job-other"],
    ];
    for (const [fault, path, value] of cases) {
      const content = forge(receipt, (original) => put(original, path, value));
      expect(await judge(issue(content)), fault).toContain(fault);
    }
    const { chain, ...rest } = linkedContent(receipt);
    const wrongDigest = signReceipt({ ...rest, chain: { ...chain, digest: "0".repeat(64) } }, SIGNING_KEY);
    expect(await judge(JSON.stringify(wrongDigest))).toContain(
      "its digest is not the digest of what it says",
    );
  });

  test("a receipt whose statement names another act, an unknown one or none is refused", async () => {
    const { receipt } = every.byPasskey;
    for (const action of ["milestone_approve", "contract_end"]) {
      // The form knows these acts, and what is signed for each: these terms are of none of them.
      const content = forge(receipt, (original) => put(original, "statements.0.statement.action", action));
      expect(await judge(issue(content)), action).toContain("does not have the form of a receipt");
    }
    for (const action of ["milestone_approve", "passkey", "member", "anything", "", null, undefined]) {
      const content = forge(receipt, (original) => put(original, "statements.0.statement.action", action));
      expect(await judge(issue(content)), String(action)).toContain("does not have the form of a receipt");
      // The schema may know more acts, but the approval must be of the signed one.
      expect(await findFaults(content), String(action)).toContain(
        "statement 1 is for another act than the approval",
      );
    }
    const released = forge(receipt, (original) => put(original, "approval.type", "milestone_approve"));
    expect(await findFaults(released)).toContain("statement 1 is for another act than the approval");
    expect(await findFaults(released)).toContain("the approval is about something else than its terms");
    expect(await judge(issue(released))).toContain("statement 1 is for another act than the approval");
  });

  test("a receipt with an assertion for something else is refused", async () => {
    const { receipt } = every.byPasskey;
    const [signed] = receipt.statements;
    const challenge = Buffer.from(signed?.digest ?? "", "hex");
    const withProof = (proof: ReturnType<typeof passkeyProof>) =>
      issue(
        forge(receipt, (content) => {
          put(content, "statements.0.proof", { ...proof, provedAt: proof.provedAt.toISOString() });
        }),
      );
    const own = new Authenticator();
    expect(await judge(withProof(passkeyProof(own, challenge)))).toBe("genuine");
    const { privateKey: key } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const lies = [
      { userVerified: false },
      { userPresent: false },
      { origin: "https://evil.example" },
      { rpId: "evil.example" },
      { type: "webauthn.create" },
      { crossOrigin: true },
      { key },
    ];
    for (const lie of lies)
      expect(await judge(withProof(passkeyProof(own, challenge, lie))), JSON.stringify(lie)).toContain(
        "not signed with the passkey",
      );
    const elsewhere = passkeyProof(own, Buffer.alloc(32, 7));
    expect(await judge(withProof(elsewhere))).toContain("not signed with the passkey");
    const swapped = {
      ...passkeyProof(own, challenge),
      publicKey: new Authenticator().coseKey.toString("base64url"),
    };
    expect(await judge(withProof(swapped))).toContain("not signed with the passkey");
  });
});

describe("a chain of receipts", async () => {
  const { token, stories } = await createChain(deps, 5);
  for (const [i, story] of stories.entries())
    await (i % 2 === 0 ? declineNow(deps, story) : confirmByPasskey(deps, story));
  const chain = await Promise.all(
    stories.map(async (story: Story) => (await readReceipt(deps, token, story)).receipt),
  );
  const head = { index: 5, digest: chain[4]?.chain.digest ?? "" };
  const { accountId } = chain[0] as Receipt;
  const refused = (receipts: readonly Receipt[], kept: typeof head | undefined, why: RegExp) =>
    expect(() => verifyChain(receipts, kept)).toThrow(why);

  /** Relinks the same decisions in another order, as the holder of the service's key can. */
  const relink = (receipts: readonly Receipt[]): Receipt[] => {
    let previousDigest = "0".repeat(64);
    return receipts.map((receipt, i) => {
      const made = JSON.parse(
        issue({ ...linkedContent(receipt), chain: { index: i + 1, previousDigest } }),
      ).receipt;
      previousDigest = made.chain.digest;
      return made;
    });
  };

  test("a chain verifies in any order of files, and reports its gaps", () => {
    expect(verifyChain(chain, head)).toEqual([{ accountId, from: 1, to: 5 }]);
    expect(verifyChain([...chain].reverse(), head)).toEqual([{ accountId, from: 1, to: 5 }]);
    expect(verifyChain([...chain, ...chain], head)).toEqual([{ accountId, from: 1, to: 5 }]);
    expect(verifyChain(chain.slice(2), head)).toEqual([{ accountId, from: 3, to: 5 }]);
    expect(verifyChain(chain.toSpliced(2, 1))).toEqual([
      { accountId, from: 1, to: 2 },
      { accountId, from: 4, to: 5 },
    ]);
  });

  test("a chain that is truncated, has a gap or another predecessor is refused under a kept head", () => {
    refused(chain.slice(0, 4), head, /receipt 5, the head that you kept, is not among them/);
    refused(chain.toSpliced(2, 1), head, /receipts are missing between those given/);
    refused(chain, { ...head, digest: "ab".repeat(32) }, /receipt 5 is not the one whose digest you kept/);
    refused([...chain, every.byPassword.receipt], head, /a retained head is of one account/);
    const older = { index: 2, digest: chain[1]?.chain.digest ?? "" };
    expect(verifyChain(chain, older)).toEqual([{ accountId, from: 1, to: 5 }]);
  });

  test("a chain that was relinked, reordered or has one left out is refused under a kept head", async () => {
    const [a, b, c, d, e] = chain as [Receipt, Receipt, Receipt, Receipt, Receipt];
    for (const order of [
      [b, a, c, d, e],
      [a, b, d, c, e],
      [a, c, d, e],
    ]) {
      const made = relink(order);
      for (const receipt of made) expect(await judge(JSON.stringify(receipt))).toBe("genuine");
      expect(verifyChain(made)).toHaveLength(1);
      refused(made, head, /receipt 5/);
    }
  });

  test("a chain with two decisions of one approval is refused without a head", async () => {
    const [a, b, c, d] = chain as [Receipt, Receipt, Receipt, Receipt];
    const made = relink([a, b, c, d, b]);
    for (const receipt of made) expect(await judge(JSON.stringify(receipt))).toBe("genuine");
    refused(made, undefined, /receipts 2 and 5 are both of approval/);
    refused([made[4] as Receipt, made[1] as Receipt], undefined, /receipts 2 and 5 are both of approval/);
  });

  test("a chain with two contradicting links is refused without a head", () => {
    const [, other] = relink([chain[1] as Receipt, chain[0] as Receipt]);
    refused([...chain, other as Receipt], undefined, /there are two receipts 2: the chain was forked/);
    refused([chain[0] as Receipt, other as Receipt], undefined, /receipt 2 does not follow from receipt 1/);
    const [first] = relink([chain[2] as Receipt]);
    const late = JSON.parse(
      issue({ ...linkedContent(first as Receipt), chain: { index: 3, previousDigest: "0".repeat(64) } }),
    );
    refused([late.receipt], undefined, /receipt 3 does not begin the chain as a first one does/);
  });
});
