import { createHash, createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { flattenedVerify, importJWK } from "jose";
import { Webhook } from "standardwebhooks";
import { describe, expect, test } from "vitest";

// Nothing of the service is imported here: these checks are what others would write.
const read = (name: string) =>
  JSON.parse(readFileSync(join(import.meta.dirname, "../../docs/vectors", `${name}.json`), "utf8"));

/** RFC 8785 for values whose numbers are integers and whose keys are ASCII. */
function canonical(value: any): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
}

const sha256 = (text: string) => createHash("sha256").update(text).digest();

type Delivery = { name: string; secrets: string[]; body: string; headers: Record<string, string> };

describe("the vectors of webhooks", () => {
  const { valid, invalid } = read("webhooks") as { valid: Delivery[]; invalid: Delivery[] };

  function byOpenTrain({ body, headers }: Delivery, secret: string): boolean {
    const [time = "", ...signatures] = (headers["X-OpenTrain-Signature"] ?? "").split(",");
    const mine = createHmac("sha256", secret)
      .update(`${time.slice(2)}.${body}`)
      .digest("hex");
    return signatures.includes(`v1=${mine}`);
  }

  function byStandardWebhooks({ body, headers }: Delivery, secret: string): boolean {
    const id = headers["webhook-id"] ?? "";
    const at = new Date(Number(headers["webhook-timestamp"]) * 1_000);
    return (headers["webhook-signature"] ?? "").split(" ").includes(new Webhook(secret).sign(id, at, body));
  }

  test.each(valid.map((one) => [one.name, one] as const))(
    "%s: is accepted, by both families",
    (_name, one) => {
      for (const secret of one.secrets)
        expect([byOpenTrain(one, secret), byStandardWebhooks(one, secret)]).toEqual([true, true]);
    },
  );

  test.each(invalid.map((one) => [one.name, one] as const))(
    "%s: is rejected, by both families",
    (_name, one) => {
      for (const secret of one.secrets)
        expect([byOpenTrain(one, secret), byStandardWebhooks(one, secret)]).toEqual([false, false]);
    },
  );
});

test("each vector of a statement has the canonical text, the digest and the challenge of RFC 8785 and SHA-256", () => {
  const { statements } = read("statements");
  expect(statements.length).toBeGreaterThan(3);
  for (const one of statements) {
    expect(one.canonical, one.name).toBe(canonical(one.statement));
    expect(one.digest, one.name).toBe(sha256(one.canonical).toString("hex"));
    expect(one.challenge, one.name).toBe(sha256(one.canonical).toString("base64url"));
  }
  expect(new Set(statements.map(({ digest }: { digest: string }) => digest)).size).toBe(statements.length);
});

type Vector = { name: string; receipt: any };

describe("the vectors of receipts", () => {
  const { keys, valid, invalid } = read("receipts") as { keys: any[]; valid: Vector[]; invalid: Vector[] };

  async function verify({ signature, ...rest }: any): Promise<string> {
    const payload = Buffer.from(canonical(rest)).toString("base64url");
    const { protectedHeader } = await flattenedVerify({ ...signature, payload }, await importJWK(keys[0]));
    const { digest, ...chain } = rest.chain;
    expect(digest).toBe(sha256(canonical({ ...rest, chain })).toString("hex"));
    for (const { statement, digest: signed } of rest.statements)
      expect(signed).toBe(sha256(canonical(statement)).toString("hex"));
    return protectedHeader?.kid ?? "";
  }

  test("are accepted, signed by the key, and linked one to the next", async () => {
    for (const { receipt } of valid) expect(await verify(receipt)).toBe(keys[0].kid);
    const [first, next] = valid.map(({ receipt }) => receipt.chain);
    expect([first.previousDigest, next.previousDigest]).toEqual(["0".repeat(64), first.digest]);
  });

  test.each(invalid.map(({ name, receipt }) => [name, receipt] as const))(
    "%s: is rejected",
    async (_name, receipt) => {
      await expect(verify(receipt)).rejects.toThrow(/signature verification failed/);
    },
  );
});
