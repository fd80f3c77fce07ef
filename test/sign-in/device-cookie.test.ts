import { describe, expect, test } from "vitest";
import { readDevice, rememberDevice } from "../../src/sign-in/device-cookie.ts";
import { deriveKeys } from "../../src/sign-in/session-keys.ts";
import { createFixture } from "../support/fixtures.ts";
import {
  createHuman,
  hiddenValue,
  newEmail,
  open,
  PASSWORD,
  SAME_ORIGIN,
  setCookies,
  submit,
} from "../support/humans.ts";
import { startService } from "../support/service.ts";

const secret = (of: string) => Buffer.alloc(32, of);
const depsOf = (publicUrl: string, ...secrets: Buffer[]) => ({
  config: { publicUrl },
  keys: deriveKeys(secrets),
});
const deps = depsOf("https://pay.example.com", secret("n"));
const sent = (line: string | undefined) => line?.split(";", 1)[0] ?? "";

describe("the device cookie", () => {
  test("the device cookie knows exactly the people who signed in with it, in any spelling of the email", () => {
    const cookie = sent(rememberDevice(deps, undefined, "ada@example.com"));
    const device = readDevice(deps, `a=b; ${cookie}`);
    expect(device?.knows("ada@example.com")).toBe(true);
    expect(device?.knows(" Ada@Example.com ")).toBe(true);
    expect(device?.knows("eve@example.com")).toBe(false);
    expect(device?.knows("")).toBe(false);
  });

  test("the device cookie is HttpOnly, lasts a year and is bound to the host under https", () => {
    expect(rememberDevice(deps, undefined, "a@example.com")).toMatch(
      /^__Host-countersign-device=[\w.-]+; Max-Age=31536000; Path=\/; HttpOnly; Secure; SameSite=Lax$/,
    );
    expect(rememberDevice(depsOf("http://localhost:3000", secret("n")), "", "a@example.com")).toMatch(
      /^countersign-device=[\w.-]+; Max-Age=31536000; Path=\/; HttpOnly; SameSite=Lax$/,
    );
  });

  test("the device cookie keeps its id, remembers five people, and is not set again for a known one", () => {
    let cookie = "";
    const emails = Array.from({ length: 7 }, (_, i) => `person-${i}@example.com`);
    const ids = new Set<string>();
    for (const email of emails) {
      cookie = sent(rememberDevice(deps, cookie, email));
      ids.add(readDevice(deps, cookie)?.id ?? "");
      expect(rememberDevice(deps, cookie, email)).toBeUndefined();
    }
    expect(ids.size).toBe(1);
    const device = readDevice(deps, cookie);
    expect(emails.map((email) => device?.knows(email))).toEqual([false, false, true, true, true, true, true]);
  });

  test("the device cookie is valid during a rotation of the secret, and is then signed again", () => {
    const cookie = sent(rememberDevice(deps, undefined, "ada@example.com"));
    const rotated = depsOf("https://pay.example.com", secret("m"), secret("n"));
    expect(readDevice(rotated, cookie)?.knows("ada@example.com")).toBe(true);
    const renewed = sent(rememberDevice(rotated, cookie, "ada@example.com"));
    const after = depsOf("https://pay.example.com", secret("m"));
    expect(readDevice(after, cookie)).toBeUndefined();
    expect(readDevice(after, renewed)?.knows("ada@example.com")).toBe(true);
  });

  test("a device cookie with any forged part is ignored", () => {
    const cookie = sent(rememberDevice(deps, undefined, "ada@example.com"));
    const [name = "", value = ""] = cookie.split("=");
    const [id = "", own = "", tag = ""] = value.split(".");
    const other =
      sent(rememberDevice(deps, undefined, "eve@example.com"))
        .split("=")[1]
        ?.split(".") ?? [];
    for (const forged of [
      "",
      id,
      `${id}.${tag}`,
      `${other[0]}.${own}.${tag}`,
      `${id}.${own}x.${tag}`,
      `${value}.${"x".repeat(23)}`,
      `${value}${`.${tag}`.repeat(5)}`,
    ])
      expect(readDevice(deps, `${name}=${forged}`), forged).toBeUndefined();
    // A tag of another device proves nothing for this one.
    expect(readDevice(deps, `${name}=${id}.${own}.${other[2]}`)?.knows("eve@example.com")).toBe(false);
  });
});

describe("a browser in which a person has signed in before", async () => {
  const { app } = await startService({ TRUST_PROXY: "1" });
  let networks = 0;
  const newAddress = () => {
    networks += 1;
    return `10.${networks >> 8}.${networks & 255}.1`;
  };
  const signIn = (email: string, password: string, address: string, cookie?: string) =>
    submit(
      app,
      "/sign-in",
      { email, password },
      { cookie, headers: { ...SAME_ORIGIN, "x-forwarded-for": address } },
    );

  /** A person, and their browser's device cookie. */
  async function known() {
    const { account } = await createFixture(app);
    const human = await createHuman(app, account);
    const page = await open(app, "/settings/security", { cookie: human.cookie });
    const device =
      setCookies(page)
        .map(sent)
        .find((line) => line.startsWith("countersign-device=")) ?? "";
    expect(device).not.toBe("");
    return { ...human, device };
  }

  test("a known browser signs its person in while strangers fail under their email and address", async () => {
    const { email, device } = await known();
    const address = newAddress();
    for (let i = 0; i < 11; i++) await signIn(email, "wrong", newAddress());
    for (let i = 0; i < 52; i++) await signIn(newEmail(), "wrong", address);
    expect((await signIn(email, PASSWORD, address)).status).toBe(429);
    expect((await signIn(email, PASSWORD, address, device)).status).toBe(303);
    expect((await signIn(email, "wrong", address, device)).status).toBe(422);
  }, 60_000);

  test("a known browser counts as a stranger after 10 failures, and for every other email", async () => {
    const { email, device } = await known();
    const address = newAddress();
    const failures = async (name: string) => {
      const statuses = [];
      for (let i = 0; i < 22; i++) statuses.push((await signIn(name, "wrong", newAddress(), device)).status);
      return statuses.filter((status) => status === 422).length;
    };
    expect(await failures(email)).toBe(20);
    expect((await signIn(email, PASSWORD, address, device)).status).toBe(429);
    expect(await failures((await known()).email)).toBe(10);
  }, 60_000);

  test("signing in resets a known browser's count, but not the strangers' counts", async () => {
    const { email, device } = await known();
    for (let i = 0; i < 11; i++) await signIn(email, "wrong", newAddress());
    for (let turn = 0; turn < 3; turn++) {
      for (let i = 0; i < 6; i++)
        expect((await signIn(email, "wrong", newAddress(), device)).status).toBe(422);
      expect((await signIn(email, PASSWORD, newAddress(), device)).status).toBe(303);
    }
    expect((await signIn(email, PASSWORD, newAddress())).status).toBe(429);
  }, 60_000);

  test("proofs of a signed-in person are counted by person, without a device cookie", async () => {
    const { cookie } = await known();
    const address = newAddress();
    for (let i = 0; i < 52; i++) await signIn(newEmail(), "wrong", address);
    const form = "/settings/security/password";
    const form_token = hiddenValue(await open(app, "/settings/security", { cookie }), form);
    const fields = { form_token, current: PASSWORD, next: "another long password" };
    const headers = { ...SAME_ORIGIN, "x-forwarded-for": address };
    expect((await submit(app, form, fields, { cookie, headers })).status).toBe(303);
  }, 60_000);
});
