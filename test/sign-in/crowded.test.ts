import { expect, test } from "vitest";
import { createFixture } from "../support/fixtures.ts";
import { createHuman, hiddenValue, newEmail, open, PASSWORD, submit } from "../support/humans.ts";
import { PASSKEYS } from "../support/passkeys.ts";
import { startService } from "../support/service.ts";

const { app } = await startService({ TRUST_PROXY: "1" });

test("among 200 wrong passwords at once, some are refused early and a signed-in person proves presence", async () => {
  const human = await createHuman(app, (await createFixture(app)).account);
  const form_token = hiddenValue(await open(app, `${PASSKEYS}/new`, human), PASSKEYS);
  const strangers = Array.from({ length: 200 }, (_, i) =>
    submit(
      app,
      "/sign-in",
      { email: newEmail(), password: "wrong" },
      { headers: { "sec-fetch-site": "same-origin", "x-forwarded-for": `10.1.${i >> 4}.${i}` } },
    ),
  );
  const proved = await submit(app, `${PASSKEYS}/options`, { form_token, password: PASSWORD }, human);
  expect(proved.status, proved.text).toBe(200);
  const answers = await Promise.all(strangers);
  const early = answers.filter(({ status }) => status === 503);
  expect(early.length).toBeGreaterThan(0);
  expect(new Set(early.map(({ headers }) => headers["retry-after"]))).toEqual(new Set(["2"]));
  expect(answers.filter(({ status }) => status !== 503).every(({ status }) => status === 422)).toBe(true);
});
