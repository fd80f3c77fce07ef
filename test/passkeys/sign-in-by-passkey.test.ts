import { generateKeyPairSync } from "node:crypto";
import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { readClock } from "../../src/database/clock.ts";
import { addSeconds } from "../../src/lib/time.ts";
import { newChallenge } from "../../src/passkeys/challenge.ts";
import { deriveKeys } from "../../src/sign-in/session-keys.ts";
import { Authenticator, type Lies } from "../support/authenticator.ts";
import { type Answer, createFixture, fund } from "../support/fixtures.ts";
import {
  cookieOf,
  createHuman,
  type HumanFixture,
  open,
  setCookies,
  signIn,
  submit,
} from "../support/humans.ts";
import {
  addPasskey,
  askToAdd,
  givePasskey,
  handleOf,
  PASSKEYS,
  SECURITY,
  signInByPasskey,
  userIdOf,
} from "../support/passkeys.ts";
import { startService } from "../support/service.ts";

const { app, db, config } = await startService();

async function begin(): Promise<HumanFixture & { userId: string }> {
  const { account } = await createFixture(app);
  const human = await createHuman(app, account);
  return { ...human, userId: await userIdOf(db, human.email) };
}

const passkeysOf = (userId: string) =>
  db.selectFrom("auth.passkeys").where("user_id", "=", userId).selectAll().execute();
const isSignedIn = async (cookie: string) => (await open(app, SECURITY, { cookie })).status === 200;

const askToSignIn = async (): Promise<string> =>
  (await submit(app, "/sign-in/passkey/options", {})).body.challenge;

describe("signing in with a passkey", () => {
  test("sign-in by passkey needs no email, proves presence and returns to the requested page", async () => {
    const human = await begin();
    const { authenticator } = await addPasskey(app, human);
    const answer = await signInByPasskey(app, authenticator, human.userId, {
      cookie: human.cookie,
      returnTo: "/billing",
    });
    expect([answer.status, answer.headers.location]).toEqual([303, "/billing"]);
    expect(setCookies(answer)).toHaveLength(1);
    expect(setCookies(answer)[0]).toMatch(
      /^countersign=[^;]+; Max-Age=604800; Path=\/; HttpOnly; SameSite=Lax$/,
    );
    const cookie = cookieOf(answer);
    const page = await open(app, `${PASSKEYS}/new`, { cookie });
    expect(page.text).toContain(`title="${human.email}"`);
    expect(page.text).not.toContain("Confirm with your password");
    // The one that the browser brought has ended.
    expect(await isSignedIn(human.cookie)).toBe(false);
    expect((await passkeysOf(human.userId))[0]?.last_used_at).toBeInstanceOf(Date);
  });

  test("sign-in by passkey never returns to another origin", async () => {
    const human = await begin();
    const { authenticator } = await addPasskey(app, human);
    const answer = await signInByPasskey(app, authenticator, human.userId, { returnTo: "//evil.example" });
    expect(answer.headers.location).toBe("/approvals");
  });

  test("sign-in by passkey stores a token digest and sets the same cookie as a password", async () => {
    const https = await startService({ PUBLIC_URL: "https://pay.example.com" }, config.databaseUrl);
    const human = await begin();
    const authenticator = await givePasskey(db, human.userId, { origin: "https://pay.example.com" });
    const { body } = await submit(https.app, "/sign-in/passkey/options", {});
    expect(body.rpId).toBe("pay.example.com");
    const assertion = authenticator.assert(body.challenge, { userHandle: handleOf(human.userId) });
    const answer = await submit(https.app, "/sign-in/passkey", { credential: JSON.stringify(assertion) });
    expect(setCookies(answer)[0]).toMatch(
      /^__Host-countersign=[^;]+; Max-Age=604800; Path=\/; HttpOnly; Secure; SameSite=Lax$/,
    );
    const value = decodeURIComponent(cookieOf(answer).slice("__Host-countersign=".length));
    const token = value.slice(0, value.lastIndexOf("."));
    expect(token).toMatch(/^[\w-]{43}$/);
    const { rows } = await sql<{ found: number }>`select count(*) as found from auth.sessions s
      where s::text like ${`%${token}%`}`.execute(db);
    expect(rows).toEqual([{ found: 0 }]);
    expect((await open(https.app, SECURITY, { cookie: cookieOf(answer) })).status).toBe(200);
  });

  test("sign-in by passkey is refused when unverified, foreign or for another person", async () => {
    const [human, stranger] = [await begin(), await begin()];
    const { authenticator } = await addPasskey(app, human);
    const wrong: Record<string, Lies> = {
      "no user verification": { userVerified: false },
      "no user presence": { userPresent: false },
      "another origin": { origin: "https://evil.example" },
      "another host": { rpId: "evil.example" },
      "another type": { type: "webauthn.create" },
      "a frame of another site": { crossOrigin: true },
      "another key": { key: generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey },
      "another person's handle": { userHandle: handleOf(stranger.userId) },
    };
    for (const [what, lies] of Object.entries(wrong)) {
      const answer = await signInByPasskey(app, authenticator, human.userId, { lies });
      expect([answer.status, setCookies(answer)], what).toEqual([422, []]);
      expect(answer.text, what).toContain("That passkey couldn’t sign you in");
    }
    const unknown = await signInByPasskey(app, new Authenticator(), human.userId);
    expect(unknown.status).toBe(422);
    // Without a user handle the answer names no person.
    const assertion = authenticator.assert(await askToSignIn());
    const silent = await submit(app, "/sign-in/passkey", { credential: JSON.stringify(assertion) });
    expect(silent.status).toBe(422);
  });

  test("sign-in by passkey takes its challenge once, and unanswered challenges write no row", async () => {
    const human = await begin();
    const { authenticator } = await addPasskey(app, human);
    const count = async () =>
      (await sql<{ n: number }>`select count(*) as n from auth.answered_challenges`.execute(db)).rows[0]?.n ??
      0;
    const before = await count();
    const challenge = await askToSignIn();
    for (let i = 0; i < 20; i++) await askToSignIn();
    await signInByPasskey(app, new Authenticator(), human.userId, { challenge });
    expect(await count()).toBe(before);
    const answers = await Promise.all(
      Array.from({ length: 6 }, () => signInByPasskey(app, authenticator, human.userId, { challenge })),
    );
    expect(answers.map(({ status }) => status).toSorted()).toEqual([303, 422, 422, 422, 422, 422]);
    expect(await count()).toBe(before + 1);
    const ofAdding = (
      await askToAdd(app, { cookie: cookieOf(answers.filter(({ status }) => status === 303)[0] as Answer) })
    ).options.challenge;
    expect((await signInByPasskey(app, authenticator, human.userId, { challenge: ofAdding })).status).toBe(
      422,
    );
  });

  test("a sign-in challenge expires after 5 minutes, by the database's clock", async () => {
    const human = await begin();
    const { authenticator } = await addPasskey(app, human);
    const signIn = { sessionId: undefined, purpose: "passkey:sign-in" };
    const asked = async (secondsAgo: number) => {
      const at = addSeconds(await readClock(db), -secondsAgo);
      return newChallenge(deriveKeys(config.sessionSecrets), signIn, at).toString("base64url");
    };
    const late = await signInByPasskey(app, authenticator, human.userId, { challenge: await asked(300) });
    expect(late.status).toBe(422);
    const inTime = await signInByPasskey(app, authenticator, human.userId, { challenge: await asked(290) });
    expect(inTime.status).toBe(303);
  });

  test("sign-in by a device-bound passkey is refused when its counter does not rise", async () => {
    const human = await begin();
    const authenticator = await givePasskey(db, human.userId, { counter: 5 });
    for (const counter of [4, 5, 0])
      expect((await signInByPasskey(app, authenticator, human.userId, { lies: { counter } })).status).toBe(
        422,
      );
    expect((await signInByPasskey(app, authenticator, human.userId, { lies: { counter: 6 } })).status).toBe(
      303,
    );
    expect((await signInByPasskey(app, authenticator, human.userId, { lies: { counter: 6 } })).status).toBe(
      422,
    );
  });

  test("sign-in by passkey works after 10 failed passwords, and is limited by address", async () => {
    const human = await begin();
    const { authenticator } = await addPasskey(app, human);
    for (let i = 0; i < 11; i++) await signIn(app, human.email, "not the password");
    expect((await signIn(app, human.email)).status).toBe(429);
    expect((await signInByPasskey(app, authenticator, human.userId)).status).toBe(303);
  });

  test("a removed member who signs in by passkey sees nothing of the account", async () => {
    const fixture = await createFixture(app);
    const other = await createHuman(app, fixture.account, "approver");
    await createHuman(app, fixture.account);
    const userId = await userIdOf(db, other.email);
    const { authenticator } = await addPasskey(app, other);
    await sql`update members set status = 'removed' where id = ${other.memberId}`.execute(db);
    const { body } = await fund(app, fixture.token, fixture.milestone);
    const cookie = cookieOf(await signInByPasskey(app, authenticator, userId));
    expect((await open(app, `/approvals/${body.approval.id}`, { cookie })).status).toBe(404);
  });
});
