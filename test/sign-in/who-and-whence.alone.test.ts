import { sql } from "kysely";
import { afterEach, expect, test, vi } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { formToken } from "../../src/sign-in/form-token.ts";
import { openSignIn, signIn as signInDirectly } from "../../src/sign-in/service.ts";
import { deriveKeys } from "../../src/sign-in/session-keys.ts";
import { digestRows } from "../http/rows.ts";
import { auditOf } from "../support/audit.ts";
import type { Lies } from "../support/authenticator.ts";
import { alertOf, askChallenge, beginCoSign, landForm, readForm } from "../support/co-sign.ts";
import { createFixture, operate } from "../support/fixtures.ts";
import {
  cookieNow,
  cookieOf,
  createHuman,
  hiddenValue,
  newEmail,
  open,
  PASSWORD,
  signIn,
  submit,
} from "../support/humans.ts";
import { ownerOf } from "../support/owner.ts";
import { addPasskey, PASSKEYS, SECURITY, signInByPasskey, userIdOf } from "../support/passkeys.ts";
import { startService } from "../support/service.ts";

const { app, db, config } = await startService({ TRUST_PROXY: "1" });
const from = (address: string) => ({
  headers: { "sec-fetch-site": "same-origin", "x-forwarded-for": address, "x-request-id": `r-${address}` },
});

afterEach(() => void vi.useRealTimers());

test("sign-ins, failures, proofs and sign-outs are audited with person and address", async () => {
  const { account } = await createFixture(app);
  const human = await createHuman(app, account);
  await signIn(app, human.email, "not the password at all", from("198.51.100.1"));
  const cookie = cookieOf(await signIn(app, human.email, PASSWORD, from("198.51.100.2")));
  const adding = hiddenValue(await open(app, `${PASSKEYS}/new`, { cookie }), PASSKEYS);
  for (const password of ["not the password at all", PASSWORD])
    await submit(
      app,
      `${PASSKEYS}/options`,
      { form_token: adding, password },
      { cookie, ...from("198.51.100.3") },
    );
  const form_token = hiddenValue(await open(app, "/approvals", { cookie }), "/sign-out");
  await submit(app, "/sign-out", { form_token }, { cookie: cookieNow(cookie), ...from("198.51.100.4") });

  // A refused sign-in is recorded after its answer.
  await vi.waitFor(async () => expect(await auditOf(db, human.email, ["sign_in_refused"])).toHaveLength(1));
  const { entries } = await operate(app, "GET", `/accounts/${account}/audit`);
  const seen = entries.map(
    ({ action, actor, subject, detail, address, requestId }: Record<string, any>) =>
      [action, actor.kind, subject.kind, detail.by, address, requestId] as const,
  );
  expect(seen.slice(0, 5)).toEqual([
    ["signed_out", "person", "session", undefined, "198.51.100.4", "r-198.51.100.4"],
    ["presence_proved", "person", "session", "password", "198.51.100.3", "r-198.51.100.3"],
    ["presence_refused", "person", "session", "password", "198.51.100.3", "r-198.51.100.3"],
    ["signed_in", "person", "session", "password", "198.51.100.2", "r-198.51.100.2"],
    ["sign_in_refused", "service", "person", undefined, "198.51.100.1", "r-198.51.100.1"],
  ]);
});

test("sign-ins and proofs by passkey, accepted and refused, are audited", async () => {
  const human = await createHuman(app, (await createFixture(app)).account);
  const { authenticator } = await addPasskey(app, human);
  const userId = await userIdOf(db, human.email);
  const cookie = cookieOf(await signInByPasskey(app, authenticator, userId));
  const { id: sessionId } = await db
    .selectFrom("auth.sessions")
    .where("user_id", "=", userId)
    .orderBy("started_at", "desc")
    .select("id")
    .executeTakeFirstOrThrow();
  const form_token = formToken(deriveKeys(config.sessionSecrets), { sessionId }, "passkeys:presence");
  const prove = async (lies: Lies) => {
    const asked = await submit(app, `${SECURITY}/presence/options`, { form_token }, { cookie });
    const credential = JSON.stringify(authenticator.assert(asked.body.challenge, lies));
    return (await submit(app, `${SECURITY}/presence`, { form_token, credential }, { cookie })).status;
  };
  expect([await prove({ origin: "https://elsewhere.example" }), await prove({})]).toEqual([422, 204]);
  const names = ["signed_in", "presence_refused", "presence_proved"];
  const entries = await auditOf(db, human.email, names);
  expect(entries.map(({ action, detail }) => [action, detail.by])).toEqual([
    ["signed_in", "invitation"],
    ["signed_in", "passkey"],
    ["presence_refused", "passkey"],
    ["presence_proved", "passkey"],
  ]);
});

test("a passkey's refused signature of a payment is audited", async () => {
  const story = await beginCoSign({ app, db });
  const fields = await readForm(app, story);
  const asked = await askChallenge(app, story, fields);
  const lies = { origin: "https://elsewhere.example" };
  const assertion = JSON.stringify(story.passkey.assert(asked.body.challenge, lies));
  expect(alertOf(await landForm(app, story, { ...fields, assertion }))).toContain("Nothing was confirmed.");
  expect(await auditOf(db, story.email, ["presence_refused"])).toMatchObject([{ detail: { by: "passkey" } }]);
});

test("a refused sign-in for an unknown email writes a log line without the email, and no row", async () => {
  const lines: string[] = [];
  const logger = createLogger("info", { write: (line: string) => void lines.push(line) });
  const deps = openSignIn(db, config, logger);
  const email = newEmail();
  const origin = { address: "198.51.100.9", requestId: "r-9" };
  const { "auth.attempts": _before, ...before } = await digestRows(db);
  const caller = { origin, userAgent: "test", cookie: undefined };
  expect(await signInDirectly(deps, { email, password: PASSWORD }, caller)).toBeUndefined();
  const { "auth.attempts": _after, ...after } = await digestRows(db);
  expect(after).toEqual(before);
  expect(lines).toHaveLength(1);
  expect(JSON.parse(lines[0] ?? "")).toMatchObject(origin);
  expect(lines[0]).not.toContain(email);
});

test("a refused sign-in is answered before it is recorded, and shutdown waits for the record", async () => {
  const human = await createHuman(app, (await createFixture(app)).account);
  const deps = openSignIn(db, config, createLogger("silent"));
  const caller = {
    origin: { address: "198.51.100.8", requestId: "r-8" },
    userAgent: "test",
    cookie: undefined,
  };
  const refused = async () => (await auditOf(db, human.email, ["sign_in_refused"])).length;
  const wrong = { email: human.email, password: "not the password at all" };
  await ownerOf(db)
    .transaction()
    .execute(async (trx) => {
      await sql`lock table audit_entries in share mode`.execute(trx);
      expect(await signInDirectly(deps, wrong, caller)).toBeUndefined();
      expect(await refused()).toBe(0);
    });
  await deps.background.settled();
  expect(await refused()).toBe(1);
});

test("a refused sign-in that cannot be recorded is logged", async () => {
  const human = await createHuman(app, (await createFixture(app)).account);
  const lines: string[] = [];
  const deps = openSignIn(
    db,
    config,
    createLogger("error", { write: (line: string) => void lines.push(line) }),
  );
  const caller = { origin: { address: "not\0text", requestId: "r-7" }, userAgent: "test", cookie: undefined };
  const attempts = { ...deps.attempts, count: async () => deps.attempts.countProof(human.email) };
  const wrong = { email: human.email, password: "not the password at all" };
  expect(await signInDirectly({ ...deps, attempts }, wrong, caller)).toBeUndefined();
  await deps.background.settled();
  expect(lines.join("\n")).toContain("recording a refused sign-in failed");
});

test("a session's life follows the database's clock, with the service's 8 days behind or ahead", async () => {
  const human = await createHuman(app, (await createFixture(app)).account);
  for (const days of [-8, 8]) {
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + days * 24 * 60 * 60 * 1_000 });
    const cookie = cookieOf(await signIn(app, human.email));
    expect((await open(app, SECURITY, { cookie })).status, `${days} days`).toBe(200);
    vi.useRealTimers();
    expect((await open(app, SECURITY, { cookie })).status, `${days} days`).toBe(200);
  }
});
