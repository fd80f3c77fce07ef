import { describe, expect, test } from "vitest";
import { passwordFault } from "../../src/sign-in/password-rules.ts";
import { hashPassword, verifyPassword } from "../../src/sign-in/passwords.ts";
import { useRealPasswords } from "../support/passwords.ts";

useRealPasswords();

const ADA = { name: "Ada Owner", email: "ada.lovelace@example.com", appName: "Countersign" };

describe("A password", () => {
  test("a password is stored as Argon2id with OWASP's parameters and a salt of its own", async () => {
    const [one, other] = [await hashPassword("correct horse"), await hashPassword("correct horse")];
    expect(one).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
    expect(one).not.toBe(other);
    expect(await verifyPassword(one, "correct horse")).toBe(true);
    expect(await verifyPassword(one, "Correct horse")).toBe(false);
    expect(await verifyPassword(undefined, "correct horse")).toBe(false);
  });

  test("a password matches in every Unicode composition of its characters", async () => {
    const hash = await hashPassword("caf\u00e9 \ufb01ne");
    expect(await verifyPassword(hash, "cafe\u0301 fine")).toBe(true);
  });

  test("a hash of another Argon2 implementation is checked with its own parameters", async () => {
    // From the reference implementation: `echo -n password | argon2 somesalt -id -t 2 -k 256 -p 1 -l 24`.
    const hash = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    expect(await verifyPassword(hash, "password")).toBe(true);
  });

  test("a stored hash that is unreadable or too costly is refused at the usual cost", async () => {
    const good = await hashPassword("correct horse");
    for (const bad of [
      good.replace("m=19456", "m=999999"),
      good.replace("t=2", "t=99"),
      good.replace("p=1", "p=16"),
      good.replace("m=19456", "m=7"),
      good.replace("argon2id", "argon2i"),
      "",
      "correct horse",
    ])
      expect(await verifyPassword(bad, "correct horse"), bad).toBe(false);
  });
});

describe("A new password", () => {
  test.each([
    "password1234",
    "qwertyuiop12",
    "123456789012",
    "aaaaaaaaaaaa",
    "passwordpassword",
    "adaowner2026",
    "Ada.Lovelace1",
    "ada.lovelace@example.com",
    "countersign123",
    "Countersign2026!",
  ])("a new password that is common or made of the person's words is refused: %s", (password) => {
    expect(passwordFault(password, ADA)).toContain("too easy to guess");
  });

  test.each(["correct horse battery", "another long password", "kX9v2mQ7pL4z", "trois mots sans lien"])(
    "a new password that is neither common nor personal is accepted: %s",
    (password) => expect(passwordFault(password, ADA)).toBeUndefined(),
  );

  test("a new password has 12 to 128 characters", () => {
    expect(passwordFault("kX9v2mQ7pL4", ADA)).toContain("at least 12");
    expect(passwordFault("kX9v2mQ7pL4z".repeat(11), ADA)).toContain("at most 128");
  });
});
