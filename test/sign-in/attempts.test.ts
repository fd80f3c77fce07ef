import { expect, test } from "vitest";
import { cloneDatabase } from "../support/clones.ts";
import { type Answer, createFixture } from "../support/fixtures.ts";
import {
  createHuman,
  hiddenValue,
  newEmail,
  open,
  PASSWORD,
  refusalOf,
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

test("of many sign-in attempts at once in two processes, exactly 10 per email pass", async () => {
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

test("known and unknown emails have the same attempt limit, which refuses the right password too", async () => {
  const { account } = await createFixture(app);
  const { email } = await createHuman(app, account);
  const answers = [];
  for (let i = 0; i < 12; i++)
    answers.push(await attempt(app, i % 2 ? email : email.toUpperCase(), "not the password"));
  expect(tally(answers)).toEqual([10, 2]);
  expect((await attempt(app, email, PASSWORD)).status).toBe(429);
});

test("a successful sign-in is not counted and resets the email's count", async () => {
  const { account } = await createFixture(app);
  const { email } = await createHuman(app, account);
  for (let turn = 0; turn < 3; turn++) {
    for (let i = 0; i < 6; i++) expect((await attempt(app, email, "wrong")).status).toBe(422);
    expect((await attempt(app, email, PASSWORD)).status).toBe(303);
  }
}, 60_000);

test("exactly 50 attempts per address pass, and further ones use up no email's attempts", async () => {
  const address = newAddress();
  const answers: Answer[] = [];
  // The most that may wait for a hash at once.
  for (let turn = 0; turn < 4; turn++) {
    const fifteen = Array.from({ length: 15 }, () => attempt(app, newEmail(), "wrong", address));
    answers.push(...(await Promise.all(fifteen)));
  }
  expect(tally(answers)).toEqual([50, 10]);
  const email = newEmail();
  for (let i = 0; i < 12; i++) expect((await attempt(app, email, "wrong", address)).status).toBe(429);
  expect((await attempt(app, email, "wrong")).status).toBe(422);
}, 60_000);

test("reset requests are limited, and do not lock sign-in", async () => {
  const { account } = await createFixture(app);
  const { email } = await createHuman(app, account);
  const ask = () =>
    submit(app, "/reset", { email }, { headers: { ...SAME_ORIGIN, "x-forwarded-for": newAddress() } });
  const answers = await Promise.all(Array.from({ length: 15 }, ask));
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(10);
  expect(answers.filter(({ status }) => status === 429)).toHaveLength(5);
  expect((await attempt(app, email, PASSWORD)).status).toBe(303);
});

test("a stolen session has a limited number of password guesses", async () => {
  const { account } = await createFixture(app);
  const { cookie } = await createHuman(app, account);
  const form_token = hiddenValue(
    await open(app, "/settings/security", { cookie }),
    "/settings/security/password",
  );
  let wrong = 0;
  const limited = [];
  for (let i = 0; i < 12; i++) {
    const fields = { form_token, current: "not the password", next: "another long password" };
    const headers = { ...SAME_ORIGIN, "x-forwarded-for": newAddress() };
    const answer = await submit(app, "/settings/security/password", fields, { cookie, headers });
    if (refusalOf(answer)?.includes("That password isn’t right")) wrong += 1;
    else limited.push(answer);
  }
  expect([wrong, tally(limited)]).toEqual([10, [0, 2]]);
});

test("failed sign-ins by strangers do not keep a signed-in person from proving their presence", async () => {
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
