import { expect, test } from "vitest";
import { createFixture } from "../support/fixtures.ts";
import { cookieOf, createHuman, type HumanFixture, open, setCookies, signIn } from "../support/humans.ts";
import { mailsTo } from "../support/mails.ts";
import { givePasskey, SECURITY, signInByPasskey, userIdOf } from "../support/passkeys.ts";
import { startService } from "../support/service.ts";
import { SAME_ORIGIN } from "../support/visitor.ts";

const { app, db } = await startService();
const MAC =
  "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36";

const join = async () => createHuman(app, (await createFixture(app)).account);
const newPlaces = async ({ email }: HumanFixture) =>
  (await mailsTo(db, email)).filter(({ subject }) => subject.startsWith("New sign-in"));

test("a sign-in from a browser that never signed the person in is mailed to them, and no other is", async () => {
  const human = await join();
  expect(await newPlaces(human)).toEqual([]);
  const device = setCookies(await open(app, "/approvals", human)).find((line) => line.includes("device"));
  const known = device?.split(";", 1)[0];
  await signIn(app, human.email, undefined, { cookie: known });
  expect(await newPlaces(human)).toEqual([]);

  const headers = { ...SAME_ORIGIN, "user-agent": MAC, cookie: "zone=Europe/Madrid" };
  const cookie = cookieOf(await signIn(app, human.email, undefined, { headers }));
  const [mail, ...others] = await newPlaces(human);
  expect(others).toEqual([]);
  expect(mail?.subject).toBe("New sign-in to Countersign: “Chrome on a Mac”");
  expect(mail?.body).toMatch(
    /“Chrome on a Mac”, near Madrid by its time zone, from the address 127\.0\.0\.1, on /,
  );
  expect(mail?.body).toContain("/reset");
  const page = await open(app, SECURITY, { cookie });
  expect(page.text.replaceAll(/<[^>]*>/g, "")).toContain("Chrome on a Mac, near Madrid");
});

test("a wrong password mails nothing, and a passkey in a new browser does", async () => {
  const human = await join();
  await signIn(app, human.email, "not this one at all");
  expect(await newPlaces(human)).toEqual([]);
  const userId = await userIdOf(db, human.email);
  await signInByPasskey(app, await givePasskey(db, userId), userId);
  expect(await newPlaces(human)).toHaveLength(1);
});
