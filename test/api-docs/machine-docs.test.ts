import { describe, expect, test } from "vitest";
import { GRANT_TYPE, PRE_CLAIM_SCOPES } from "../../src/agent-auth/schemas.ts";
import { listRoutes } from "../../src/http/route-list.ts";
import { MAILING } from "../support/agents.ts";
import { call, createFixture } from "../support/fixtures.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";

const mailing = await startService(MAILING);
const silent = await startService({}, mailing.config.databaseUrl);
const { app } = mailing;

const read = (path: string, of = app) => call(of, "GET", path);
const addressesIn = (text: string) => [
  ...new Set([...text.matchAll(/http:\/\/localhost:3000(\/[^\s`)"',;?]*)/g)].map(([, path = ""]) => path)),
];

/** The curl lines of a text, as what they would send. */
function curlsIn(text: string) {
  return [...text.matchAll(/curl ((?:[^\n`\\]|\\\n)+)/g)].map(([, line = ""]) => {
    const flat = line.replaceAll("\\\n", " ");
    const [url = ""] = /http:\S+/.exec(flat) ?? [];
    const data = [...flat.matchAll(/--data-urlencode "([^=]+)=([^"]*)"/g)].map(([, key = "", value = ""]) => [
      key,
      value,
    ]);
    const json = /-d '([^']+)'/.exec(flat)?.[1];
    return {
      method: flat.includes("-X POST") ? ("POST" as const) : ("GET" as const),
      path: url.slice(PUBLIC_URL.length),
      bearer: flat.includes("Bearer $TOKEN"),
      json,
      form: data.length === 0 ? undefined : new URLSearchParams(data as [string, string][]).toString(),
    };
  });
}

describe("what machines read first", () => {
  test("is there, as text, under the addresses that discovery names", async () => {
    const [llms, auth] = [await read("/llms.txt"), await read("/auth.md")];
    expect([llms.status, llms.headers["content-type"]]).toEqual([200, "text/plain; charset=utf-8"]);
    expect([auth.status, auth.headers["content-type"]]).toEqual([200, "text/markdown; charset=utf-8"]);
    const server = (await read("/.well-known/oauth-authorization-server")).body;
    expect([server.service_documentation, server.agent_auth.skill]).toEqual([
      `${PUBLIC_URL}/auth.md`,
      `${PUBLIC_URL}/auth.md`,
    ]);
  });

  test("names only addresses that something answers at", async () => {
    const routes = listRoutes(app);
    for (const path of ["/llms.txt", "/auth.md"]) {
      const addresses = addressesIn((await read(path)).text);
      expect(addresses.length).toBeGreaterThan(5);
      for (const address of addresses)
        expect(
          routes.some(({ matches }) => matches.test(address)),
          `${address} in ${path}`,
        ).toBe(true);
    }
  });

  test("its calls do the main job as they stand", async () => {
    const { token, milestone } = await createFixture(app);
    const curls = curlsIn((await read("/llms.txt")).text);
    expect(curls).toHaveLength(2);
    const statuses = [];
    for (const { method, path, bearer } of curls) {
      expect(bearer).toBe(true);
      statuses.push((await call(app, method, path.replace("MILESTONE_ID", milestone), { token })).status);
    }
    expect(statuses).toEqual([200, 202]);
  });

  test("its way to a token is the way: register, name a human, poll, revoke", async () => {
    const [registering, naming, polling, revoking, ...more] = curlsIn((await read("/auth.md")).text);
    expect(more).toEqual([]);
    const form = { "content-type": "application/x-www-form-urlencoded" };
    const identity = await call(app, "POST", registering?.path ?? "", { body: registering?.json });
    expect(identity.status, identity.text).toBe(200);
    expect(identity.body.scopes).toEqual(PRE_CLAIM_SCOPES);
    const claim = naming?.json?.replace("…", identity.body.claim_token);
    expect((await call(app, "POST", naming?.path ?? "", { body: claim })).status).toBe(200);
    const poll = polling?.form?.replace(encodeURIComponent("…"), identity.body.claim_token) ?? "";
    expect(new URLSearchParams(poll).get("grant_type")).toBe(GRANT_TYPE);
    const waiting = await call(app, "POST", polling?.path ?? "", { body: poll, headers: form });
    expect(waiting.body.error).toBe("authorization_pending");
    const { access_token } = identity.body;
    const revoke = revoking?.form?.replace(`ot_pat_${encodeURIComponent("…")}`, access_token);
    expect((await call(app, "POST", revoking?.path ?? "", { body: revoke, headers: form })).status).toBe(200);
    expect((await call(app, "GET", "/api/public/v1/auth/me", { token: access_token })).status).toBe(401);
  });

  test("says so where this service sends no mail", async () => {
    expect((await read("/auth.md", silent.app)).text).toContain("sends no mail");
    expect((await read("/auth.md")).text).not.toContain("sends no mail");
  });
});

test("/.well-known/security.txt says where to report a weakness, for less than a year, where that is set", async () => {
  const { status, text, headers } = await call(
    (await startService({ SECURITY_CONTACT: "mailto:security@example.com" })).app,
    "GET",
    "/.well-known/security.txt",
  );
  expect([status, headers["content-type"]]).toEqual([200, "text/plain; charset=utf-8"]);
  const [contact, expires = "", , canonical] = text.trimEnd().split("\n");
  expect(contact).toBe("Contact: mailto:security@example.com");
  expect(canonical).toBe(`Canonical: ${PUBLIC_URL}/.well-known/security.txt`);
  const left = Date.parse(expires.replace("Expires: ", "")) - Date.now();
  expect(left / 86_400_000).toBeGreaterThan(363);
  expect(left / 86_400_000).toBeLessThan(365);
  expect((await call(app, "GET", "/.well-known/security.txt")).status).toBe(404);
});
