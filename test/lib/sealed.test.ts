import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { open, type Sealed, seal } from "../../src/lib/sealed.ts";

const SECRET = "whsec_ünïcode and more";
const CONTEXT = "account 1, webhook 2";
const [oldKey, newKey] = [randomBytes(32), randomBytes(32)];

/** The same, with one bit of the byte at `index` turned over. */
function flipped({ keyId, bytes }: Sealed, index: number): Sealed {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(copy.readUInt8(index) ^ 1, index);
  return { keyId, bytes: copy };
}

describe("a sealed secret", () => {
  test("opens again, an empty one too, and its bytes do not show it", () => {
    const sealed = seal([newKey], SECRET, CONTEXT);
    expect(open([newKey], sealed, CONTEXT)).toBe(SECRET);
    expect(sealed.bytes.includes("whsec_")).toBe(false);
    expect(open([newKey], seal([newKey], "", CONTEXT), CONTEXT)).toBe("");
  });

  test("looks different each time, even for the same secret and context", () => {
    const all = Array.from({ length: 100 }, () => seal([newKey], SECRET, CONTEXT).bytes.toString("hex"));
    expect(new Set(all.map((hex) => hex.slice(0, 24))).size).toBe(100);
    expect(new Set(all.map((hex) => hex.slice(56))).size).toBe(100);
  });

  test("opens nowhere else: in another row it is refused", () => {
    const sealed = seal([newKey], SECRET, CONTEXT);
    expect(() => open([newKey], sealed, "account 1, webhook 3")).toThrow();
    expect(() => open([newKey], sealed, "")).toThrow();
  });

  test("is refused when any bit of nonce, tag or ciphertext was turned over, and when it was cut", () => {
    const sealed = seal([newKey], SECRET, CONTEXT);
    for (let index = 0; index < sealed.bytes.length; index++) {
      expect(() => open([newKey], flipped(sealed, index), CONTEXT)).toThrow();
    }
    for (const length of [0, 11, 12, 20, 27, 28, sealed.bytes.length - 1]) {
      const cut = { ...sealed, bytes: sealed.bytes.subarray(0, length) };
      expect(() => open([newKey], cut, CONTEXT)).toThrow();
    }
  });

  test("outlives a rotation: what the old key sealed opens, and the new key seals from then on", () => {
    const before = seal([oldKey], SECRET, CONTEXT);
    const rotated = [newKey, oldKey];
    expect(open(rotated, before, CONTEXT)).toBe(SECRET);
    const after = seal(rotated, SECRET, CONTEXT);
    expect(after.keyId).not.toBe(before.keyId);
    expect(open([newKey], after, CONTEXT)).toBe(SECRET);
  });

  test("names the key that is missing once that one was taken away, and says nothing of what is there", () => {
    const before = seal([oldKey], SECRET, CONTEXT);
    expect(() => open([newKey], before, CONTEXT)).toThrow(before.keyId);
    expect(() => open([newKey], { ...before, keyId: seal([newKey], "", "").keyId }, CONTEXT)).toThrow();
    expect(before.keyId).toMatch(/^[0-9a-f]{12}$/);
    expect(oldKey.toString("hex")).not.toContain(before.keyId);
    expect(() => seal([], SECRET, CONTEXT)).toThrow(TypeError);
  });
});
