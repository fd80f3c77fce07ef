import { expect, test } from "vitest";
import { cloneDatabase } from "../support/clones.ts";
import { type Answer, createFixture } from "../support/fixtures.ts";
import {
  createHuman,
  hiddenValue,
  newEmail,
  open,
  PASSWORD,
  SAME_ORIGIN,
  submit,
} from "../support/humans.ts";
import { startService } from "../support/service.ts";

const url = await cloneDatabase();
const env = { TRUST_PROXY: "1" };
const { app } = await startService(env, url);
const second = await startService(env, url);

let addresses = 0;
const newAddress = () => {
  addresses += 1;
  return `10.${addresses >> 8}.${addresses & 255}.1`;
};

/** Signs in from an address of its own, unless one is given. */
const attempt = (service: typeof app, email: string, password: string, address = newAddress()) =>
  submit(
    service,
    "/sign-in",
    { email, password },
    { headers: { ...SAME_ORIGIN, "x-forwarded-for": address } },
  );

const tally = (answers: { status: number }[]) =>
  [422, 429].map((status) => answers.filter((answer) => answer.status === status).length);

test("exactly 10 attempts of an e-mail pass, however many come at once, to two processes", async () => {
  const email = newEmail();
  const answers = await Promise.all(
    Array.from({ length: 30 }, (_, i) => attempt(i % 2 ? app : second.app, email, "not the password")),
  );
  expect(tally(answers)).toEqual([10, 20]);
  const refused = answers.find(({ status }) => status === 429);
  expect(refused?.text).toContain("Too many attempts");
  expect(refused?.text).toMatch(/Try again in 1[45] minutes/);
  const wait = Number(refused?.headers["retry-after"]);
  expect(wait).toBeGreaterThan(800);
  expect(wait).toBeLessThanOrEqual(900);
}, 60_000);

test("a known e-mail is limited like an unknown one, and then the right password is not even tried", async () => {
  const { account } = await createFixture(app);
  const { email } = await createHuman(app, account);
  const answers = [];
  for (let i = 0; i < 12; i++)
    answers.push(await attempt(app, i % 2 ? email : email.toUpperCase(), "not the password"));
  expect(tally(answers)).toEqual([10, 2]);
  expect((await attempt(app, email, PASSWORD)).status).toBe(429);
});

test("what succeeds is not counted, and begins the e-mail's count anew", async () => {
  const { account } = await createFixture(app);
  const { email } = await createHuman(app, account);
  for (let turn = 0; turn < 3; turn++) {
    for (let i = 0; i < 6; i++) expect((await attempt(app, email, "wrong")).status).toBe(422);
    expect((await attempt(app, email, PASSWORD)).status).toBe(303);
  }
}, 60_000);

test("exactly 50 attempts of an address pass, and what is over uses up nobody's e-mail", async () => {
  const address = newAddress();
  const answers: Answer[] = [];
  // As many at once as may wait for a hash.
  for (let turn = 0; turn < 4; turn++) {
    const fifteen = Array.from({ length: 15 }, () => attempt(app, newEmail(), "wrong", address));
    answers.push(...(await Promise.all(fifteen)));
  }
  expect(tally(answers)).toEqual([50, 10]);
  const email = newEmail();
  for (let i = 0; i < 12; i++) expect((await attempt(app, email, "wrong", address)).status).toBe(429);
  expect((await attempt(app, email, "wrong")).status).toBe(422);
}, 60_000);

test("asking for a reset is limited too, and does not lock sign-in", async () => {
  const { account } = await createFixture(app);
  const { email } = await createHuman(app, account);
  const ask = () =>
    submit(app, "/reset", { email }, { headers: { ...SAME_ORIGIN, "x-forwarded-for": newAddress() } });
  const answers = await Promise.all(Array.from({ length: 15 }, ask));
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(10);
  expect(answers.filter(({ status }) => status === 429)).toHaveLength(5);
  expect((await attempt(app, email, PASSWORD)).status).toBe(303);
});

test("a stolen session cannot guess the password without end", async () => {
  const { account } = await createFixture(app);
  const { cookie } = await createHuman(app, account);
  const form_token = hiddenValue(
    await open(app, "/settings/security", { cookie }),
    "/settings/security/password",
  );
  const statuses = [];
  for (let i = 0; i < 12; i++) {
    const fields = { form_token, current: "not the password", next: "another long password" };
    const headers = { ...SAME_ORIGIN, "x-forwarded-for": newAddress() };
    statuses.push(await submit(app, "/settings/security/password", fields, { cookie, headers }));
  }
  expect(tally(statuses)).toEqual([10, 2]);
});

test("whoever fails to sign in under a person's e-mail does not keep them from proving that they are there", async () => {
  const { account } = await createFixture(app);
  const { email, cookie } = await createHuman(app, account);
  for (let i = 0; i < 11; i++) await attempt(app, email, "not the password");
  expect((await attempt(app, email, PASSWORD)).status).toBe(429);
  const form = "/settings/security/password";
  const form_token = hiddenValue(await open(app, "/settings/security", { cookie }), form);
  const fields = { form_token, current: PASSWORD, next: "another long password" };
  const headers = { ...SAME_ORIGIN, "x-forwarded-for": newAddress() };
  expect((await submit(app, form, fields, { cookie, headers })).status).toBe(303);
});
