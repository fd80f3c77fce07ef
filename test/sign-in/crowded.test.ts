import { expect, test } from "vitest";
import { createFixture } from "../support/fixtures.ts";
import { createHuman, hiddenValue, newEmail, open, PASSWORD, submit } from "../support/humans.ts";
import { PASSKEYS } from "../support/passkeys.ts";
import { holdHashesOf } from "../support/passwords.ts";
import { waitUntil } from "../support/process.ts";
import { startService } from "../support/service.ts";

const { app } = await startService({ TRUST_PROXY: "1" });

test("among 200 wrong passwords at once, some are refused early and a signed-in person proves presence", async () => {
  const human = await createHuman(app, (await createFixture(app)).account);
  const form_token = hiddenValue(await open(app, `${PASSKEYS}/new`, human), PASSKEYS);
  const goOn = holdHashesOf("wrong");
  let refused = 0;
  const strangers = Array.from({ length: 200 }, (_, i) =>
    submit(
      app,
      "/sign-in",
      { email: newEmail(), password: "wrong" },
      { headers: { "sec-fetch-site": "same-origin", "x-forwarded-for": `10.1.${i >> 4}.${i}` } },
    ).then((answer) => {
      if (answer.status === 503) refused += 1;
      return answer;
    }),
  );
  const proved = await submit(app, `${PASSKEYS}/options`, { form_token, password: PASSWORD }, human);
  expect(proved.status, proved.text).toBe(200);
  await waitUntil(() => refused > 0, "a stranger is refused early");
  goOn();
  const answers = await Promise.all(strangers);
  const early = answers.filter(({ status }) => status === 503);
  expect(new Set(early.map(({ headers }) => headers["retry-after"]))).toEqual(new Set(["2"]));
  expect(answers.filter(({ status }) => status !== 503).every(({ status }) => status === 422)).toBe(true);
});
