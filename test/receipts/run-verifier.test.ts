import { execFile } from "node:child_process";
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { canonicalDigest } from "../../src/lib/canonical.ts";
import { linkDigest } from "../../src/receipts/receipt-rules.ts";
import { signReceipt } from "../../src/receipts/signature.ts";
import { call } from "../support/fixtures.ts";
import { decideEveryWay, linkedContent, SIGNING_KEY } from "../support/receipts.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";

const VERIFIER = join(import.meta.dirname, "../../src/verify-receipt.ts");
/** Node's permission model lets the verifier read files, but not write, start programs or connect. */
const CONFINED = ["--permission", "--allow-fs-read=*"];

const service = await startService();
const every = await decideEveryWay({ ...service, processor: createSandbox(service.db, PUBLIC_URL) });
const folder = await mkdtemp(join(tmpdir(), "countersign-receipts-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

const write = async (name: string, content: string | Buffer): Promise<string> => {
  await writeFile(join(folder, name), content);
  return join(folder, name);
};
const run = (...args: string[]) =>
  new Promise<{ code: number; text: string }>((resolve) => {
    execFile(process.execPath, [...CONFINED, VERIFIER, ...args], (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === "number" ? error.code : 0, text: stdout + stderr }),
    );
  });

const jwks = (await call(service.app, "GET", "/.well-known/jwks.json")).body;
const key = await write("jwks.json", JSON.stringify(jwks));
const files = {
  byPassword: await write("password.json", every.byPassword.bytes),
  byPasskey: await write("passkey.json", every.byPasskey.bytes),
  afterRefusal: await write("refusal.json", every.afterRefusal.bytes),
  declined: await write("declined.json", every.declined.bytes),
};
const { digest } = every.declined.receipt.chain;

describe("verify-receipt", () => {
  test("verify-receipt accepts genuine receipts offline, and prints what they prove and what not", async () => {
    const { code, text } = await run(...Object.values(files), "--key", key, "--head", `4:${digest}`);
    expect(code, text).toBe(0);
    const { email } = every.byPasskey.receipt.statements[0]?.signedBy ?? {};
    expect(text).toContain("fund $450.00 USD for Maria G. (freelancer-1)");
    expect(text).toMatch(
      new RegExp(`signed by Ada Owner <${email}> .* with a passkey, on ${PUBLIC_URL}; checked here`),
    );
    expect(text).toContain("by password; the service's word");
    expect(text).toContain("receipts 1 to 4 follow from each other");
    expect(text).toContain(`lead to the head that you kept, 4:${digest}`);
    const [proves, not] = text.split("What it does not prove");
    expect(proves).toContain(`The holder of the service's key (${jwks.keys[0].kid})`);
    expect(not).toContain("That the key belongs to the service you mean");
    expect(not).toContain("That a person typed a password or was signed in");
  });

  test("verify-receipt reads a JWK set, JWK or PEM, and picks a key by thumbprint", async () => {
    const pem = createPublicKey(SIGNING_KEY).export({ type: "spki", format: "pem" }).toString();
    const { publicKey: other } = generateKeyPairSync("ed25519");
    const both = { keys: [other.export({ format: "jwk" }), ...jwks.keys] };
    const kid = jwks.keys[0].kid;
    const forms: [string, ...string[]][] = [
      [await write("key.pem", pem)],
      [await write("key.jwk", JSON.stringify(jwks.keys[0]))],
      [await write("both.json", JSON.stringify(both))],
      [await write("both.json", JSON.stringify(both)), "--thumbprint", kid],
    ];
    for (const [file, ...more] of forms) {
      const { code, text } = await run(files.byPassword, "--key", file, ...more);
      expect(code, text).toBe(0);
    }
    const wrong = await run(files.byPassword, "--key", key, "--thumbprint", `${kid.slice(0, -1)}_`);
    expect([wrong.code, wrong.text]).toEqual([
      2,
      expect.stringContaining("holds no key whose thumbprint is"),
    ]);
  });

  test("verify-receipt exits with 1 and names the receipt that does not verify", async () => {
    const tampered = await write("tampered.json", every.declined.bytes.toString().replace("45000", "45001"));
    const { code, text } = await run(files.byPassword, tampered, "--key", key);
    expect([code, text]).toEqual([
      1,
      expect.stringMatching(/^REFUSED {2}.*tampered\.json: it is not signed by the key/),
    ]);
    const { publicKey } = generateKeyPairSync("ed25519");
    const foreign = await write("foreign.jwk", JSON.stringify(publicKey.export({ format: "jwk" })));
    expect((await run(files.byPassword, "--key", foreign)).code).toBe(1);
    const truncated = await run(files.byPassword, files.byPasskey, "--key", key, "--head", `4:${digest}`);
    expect([truncated.code, truncated.text]).toEqual([
      1,
      expect.stringContaining("receipt 4, the head that you kept"),
    ]);
  });

  test("verify-receipt prints no terminal control characters from any field of a receipt", async () => {
    const content = structuredClone(linkedContent(every.declined.receipt));
    const evil = "pi_1\u001b[2J\u202e\nWhat this proves: everything";
    content.accountName = content.askedBy.name = content.accountId = evil;
    for (const { statement } of content.statements) statement.accountId = evil;
    for (const signed of content.statements)
      signed.digest = canonicalDigest(signed.statement).toString("hex");
    const issued = { ...content, chain: { ...content.chain, digest: linkDigest(content) } };
    const file = await write("evil.json", JSON.stringify(signReceipt(issued, SIGNING_KEY)));
    const { code, text } = await run(file, "--key", key);
    expect(code, text).toBe(0);
    expect(text).toContain("Account pi_1");
    expect(text.split("\n").join("")).not.toMatch(/[\p{Cc}\u202e]/u);
    expect(text).not.toMatch(/^What this proves: everything/m);
  });

  test("verify-receipt exits with 2 without receipts or without a key", async () => {
    const secret = SIGNING_KEY.export({ type: "pkcs8", format: "pem" }).toString();
    for (const [args, said] of [
      [[], "verify-receipt FILE... --key KEYFILE"],
      [[files.byPassword], "verify-receipt FILE... --key KEYFILE"],
      [[join(folder, "none.json"), "--key", key], "cannot be read"],
      [
        [files.byPassword, "--key", await write("secret.pem", secret)],
        "which checking receipts must not need",
      ],
      [[files.byPassword, "--key", files.byPassword], "it holds no Ed25519 key"],
      [[files.byPassword, "--key", key, "--head", "four"], "--head must be INDEX:DIGEST"],
      [[files.byPassword, "--key", key, "--trust-me"], "Unknown option '--trust-me'"],
    ] as const) {
      const { code, text } = await run(...args);
      expect([code, text]).toEqual([2, expect.stringContaining(said)]);
    }
  });
});
