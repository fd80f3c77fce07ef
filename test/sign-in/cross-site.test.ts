import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { listRoutes } from "../../src/http/route-list.ts";
import { checkFormToken, formToken } from "../../src/sign-in/form-token.ts";
import { deriveKeys } from "../../src/sign-in/session-keys.ts";
import { call, createFixture } from "../support/fixtures.ts";
import {
  cookieOf,
  createHuman,
  hiddenValue,
  invite,
  open,
  PASSWORD,
  setCookies,
  signIn,
  submit,
} from "../support/humans.ts";
import { OPERATOR_KEY, PUBLIC_URL, startService } from "../support/service.ts";

const { app, db, config } = await startService();
const SECURITY = "/settings/security";

/** A browser's headers, and whether a form with them is accepted. */
const SAID: [Record<string, string>, boolean][] = [
  [{ "sec-fetch-site": "same-origin" }, true],
  [{ "sec-fetch-site": "same-origin", origin: PUBLIC_URL }, true],
  [{ origin: PUBLIC_URL }, true],
  [{}, false],
  [{ "sec-fetch-site": "same-site" }, false],
  [{ "sec-fetch-site": "cross-site" }, false],
  [{ "sec-fetch-site": "none" }, false],
  [{ "sec-fetch-site": "" }, false],
  [{ "sec-fetch-site": "same-origin, cross-site" }, false],
  [{ "sec-fetch-site": "cross-site", origin: PUBLIC_URL }, false],
  [{ "sec-fetch-site": "same-site", origin: PUBLIC_URL }, false],
  [{ "sec-fetch-site": "same-origin", origin: "null" }, false],
  [{ "sec-fetch-site": "same-origin", origin: "http://evil.example:3000", host: "evil.example:3000" }, false],
  [{ "sec-fetch-site": "same-origin", origin: "http://127.0.0.1:3000" }, false],
  [{ origin: "null" }, false],
  [{ origin: "https://evil.example" }, false],
  [{ origin: `${PUBLIC_URL}.evil.example` }, false],
  [{ origin: "http://localhost" }, false],
  [{ origin: "https://evil.example", host: "evil.example" }, false],
  [{ host: "localhost:3000" }, false],
  [{ referer: `${PUBLIC_URL}/settings/security` }, false],
];

async function createScene() {
  const { account } = await createFixture(app);
  const { email, cookie } = await createHuman(app, account);
  const { token } = await invite(app, account, "viewer");
  return { email, cookie, token };
}

// One scene for all refused forms, as they change nothing and each scene costs a password hash.
const untouched = await createScene();

describe("a form is taken only from a page of this origin", () => {
  test.each(SAID)("%j: %s", async (headers, taken) => {
    const { email, cookie, token } = taken ? await createScene() : untouched;
    const page = await open(app, SECURITY, { cookie });
    const forms: [string, Record<string, string>, string | undefined][] = [
      [
        `${SECURITY}/password`,
        { form_token: hiddenValue(page, `${SECURITY}/password`), current: PASSWORD, next: PASSWORD },
        cookie,
      ],
      ["/sign-out", { form_token: hiddenValue(page, "/sign-out") }, cookie],
      ["/sign-in", { email, password: PASSWORD }, undefined],
      ["/sign-in/passkey/options", {}, undefined],
      ["/sign-in/passkey", { credential: "{}" }, undefined],
      ["/invite", { token, password: PASSWORD }, undefined],
      ["/reset", { email }, undefined],
      ["/reset/new", { token: "x", password: PASSWORD }, undefined],
    ];
    for (const [url, fields, who] of forms) {
      const answer = await submit(app, url, fields, { cookie: who, headers });
      if (taken)
        expect([200, 303, 410, ...(url === "/sign-in/passkey" ? [422] : [])], url).toContain(answer.status);
      else {
        expect(answer.status, url).toBe(403);
        expect(answer.headers["content-type"]).toContain("text/html");
        expect(answer.text).toContain("Nothing was done");
      }
    }
    if (!taken) {
      expect((await open(app, SECURITY, { cookie })).status).toBe(200);
      expect((await open(app, `/invite?token=${token}`)).status).toBe(200);
    }
  });
});

describe("a form of a signed-in person must carry its token", () => {
  test("a form with a missing, empty or foreign token changes nothing", async () => {
    const { account } = await createFixture(app);
    const { email, cookie } = await createHuman(app, account);
    const other = await createHuman(app, account, "viewer");
    const url = `${SECURITY}/password`;
    const page = await open(app, SECURITY, { cookie });
    const former = cookieOf(await signIn(app, email));
    const old = hiddenValue(await open(app, SECURITY, { cookie: former }), url);
    const { rows } = await sql<{
      id: string;
    }>`select s.id from auth.sessions s join auth.users u on u.id = s.user_id
      where u.email = ${email} order by s.started_at`.execute(db);
    const session = { sessionId: rows[0]?.id ?? "" };
    const good = hiddenValue(page, url);
    const bad: Record<string, string | undefined> = {
      missing: undefined,
      empty: "",
      "another form's": hiddenValue(page, "/sign-out"),
      "another person's": hiddenValue(await open(app, SECURITY, other), url),
      "another session's": old,
      "another key's": formToken(deriveKeys([]), session, "security:password"),
      changed: `${good.slice(0, -2)}AA`,
      longer: `${good}AAAA`,
    };
    for (const [name, form_token] of Object.entries(bad)) {
      const fields = { current: PASSWORD, next: "another long password" };
      const sent = form_token === undefined ? fields : { ...fields, form_token };
      expect((await submit(app, url, sent, { cookie })).status, name).toBe(403);
    }
    expect((await signIn(app, email)).status).toBe(303);
    const fields = { form_token: good, current: PASSWORD, next: "another long password" };
    expect((await submit(app, url, fields, { cookie })).status).toBe(303);
  });

  test("a form token is bound to session and purpose, and survives a rotation of the secret", () => {
    const [first, second] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
    const before = deriveKeys([first]);
    const during = deriveKeys([second, first]);
    const after = deriveKeys([second]);
    const session = { sessionId: "s1" };
    const token = formToken(before, session, "approval:a:d");
    expect(checkFormToken(before, session, "approval:a:d", token)).toBe(true);
    expect(checkFormToken(during, session, "approval:a:d", token)).toBe(true);
    expect(checkFormToken(after, session, "approval:a:d", token)).toBe(false);
    expect(checkFormToken(before, session, "approval:a:e", token)).toBe(false);
    expect(checkFormToken(before, { sessionId: "s2" }, "approval:a:d", token)).toBe(false);
    expect(checkFormToken(before, session, "approval:a:d", [token])).toBe(false);
    expect(formToken(during, session, "x")).toBe(formToken(after, session, "x"));
  });
});

test("sessions survive a rotation of SESSION_SECRET until the old secret is removed", async () => {
  const { account } = await createFixture(app);
  const { email, cookie } = await createHuman(app, account);
  const old = Buffer.alloc(32, "s").toString("base64");
  const fresh = Buffer.alloc(32, "n").toString("base64");
  const url = config.databaseUrl ?? "";
  const during = await startService({ SESSION_SECRET: `${fresh},${old}` }, url);
  const after = await startService({ SESSION_SECRET: fresh }, url);
  expect((await open(during.app, SECURITY, { cookie })).status).toBe(200);
  expect((await open(after.app, SECURITY, { cookie })).status).toBe(303);
  const renewed = cookieOf(await signIn(during.app, email));
  expect((await open(after.app, SECURITY, { cookie: renewed })).status).toBe(200);
});

describe("who may call what", () => {
  const forms = listRoutes(app).filter(({ access }) => access?.by === "session");

  test("the service has session routes to test", () => {
    expect(forms.length).toBeGreaterThan(4);
  });

  test.each(forms.map(({ method, url }) => [method, url] as const))(
    "%s %s accepts no API token and no other key",
    async (method, url) => {
      const { account, token } = await createFixture(app);
      const invitation = await invite(app, account, "owner");
      const path = url.replaceAll(/:\w+/g, "x");
      for (const secret of [token, OPERATOR_KEY, invitation.token, "ot_pat_x"]) {
        const answer = await call(app, method as "GET", path, {
          token: secret,
          headers: { "sec-fetch-site": "same-origin", cookie: `countersign=${secret}` },
        });
        // This address is also the API's, which accepts a bearer token and finds no approval `x`.
        const api = /^\/approvals\/x(\/receipt)?$/.test(path);
        expect([303, api ? 404 : 303, api ? 401 : 303], secret).toContain(answer.status);
        if (!api) expect(answer.headers.location).toMatch(/^\/sign-in\?return_to=/);
      }
    },
  );

  test("no token and no key signs in with a passkey or gets passkey options", async () => {
    const { token } = await createFixture(app);
    for (const secret of [token, OPERATOR_KEY]) {
      const headers = { authorization: `Bearer ${secret}`, "sec-fetch-site": "same-origin" };
      const fields = { credential: secret };
      const answer = await submit(app, "/sign-in/passkey", fields, {
        cookie: `countersign=${secret}`,
        headers,
      });
      expect([answer.status, setCookies(answer)]).toEqual([422, []]);
    }
  });

  test("a session grants nothing on the routes of agents and of the operator", async () => {
    const { account, milestone } = await createFixture(app);
    const { cookie } = await createHuman(app, account);
    const routes = listRoutes(app).filter(
      ({ access }) => access?.by === "token" || access?.by === "operator",
    );
    expect(routes.length).toBeGreaterThan(20);
    for (const { method, url } of routes) {
      if (method === "OPTIONS") continue;
      const path = url.replace(":milestoneId", milestone).replaceAll(/:\w+/g, "x");
      const answer = await call(app, method as "GET", path, {
        headers: { cookie, "sec-fetch-site": "same-origin" },
      });
      expect(answer.status, `${method} ${url}`).toBe(401);
    }
  });

  test("without a session, a page leads to sign-in and back, and a form changes nothing", async () => {
    const page = await open(app, `${SECURITY}?x=1`);
    expect([page.status, page.headers.location]).toEqual([
      303,
      "/sign-in?return_to=%2Fsettings%2Fsecurity%3Fx%3D1",
    ]);
    const form = await submit(app, `${SECURITY}/password`, { current: PASSWORD, next: PASSWORD });
    expect([form.status, form.headers.location]).toEqual([303, "/sign-in?return_to=%2Fsettings%2Fsecurity"]);
  });
});

test("a session records the address that the server saw, not a header of the caller", async () => {
  const { account } = await createFixture(app);
  const { email } = await createHuman(app, account);
  await signIn(app, email, PASSWORD, {
    headers: {
      "sec-fetch-site": "same-origin",
      "x-countersign-address": "6.6.6.6",
      "x-forwarded-for": "6.6.6.6",
    },
  });
  const { rows } = await sql<{ address: string }>`select distinct address from auth.sessions`.execute(db);
  expect(rows).toEqual([{ address: "127.0.0.1" }]);
});
