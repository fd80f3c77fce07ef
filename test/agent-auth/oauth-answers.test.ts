import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { addressBucket } from "../../src/lib/addresses.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { newSecret } from "../../src/lib/secrets.ts";
import {
  claim,
  createAgent,
  expectOAuthRefusal,
  fromNewAddress,
  GRANT_TYPE,
  MAILING,
  nameHuman,
  poll,
  register,
  sendForm,
  startClaim,
} from "../support/agents.ts";
import { call, operate } from "../support/fixtures.ts";
import { newEmail } from "../support/humans.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";

const service = await startService(MAILING);
const { app, db } = service;

const CALLS = ["/identity", "/identity/claim", "/oauth/token", "/oauth/revoke"];
const FORM = "application/x-www-form-urlencoded";
const at = (path: string) => `/api/agent${path}`;

describe("whatever goes wrong under /api/agent is said in OAuth's shape", () => {
  test.each(CALLS)("%s: an unreadable body, one that is too large, one of another kind", async (path) => {
    const form = path.startsWith("/oauth");
    const type = form ? FORM : "application/json";
    const bodies: [number, string, string][] = [
      [413, "x".repeat(70_000), type],
      [415, "<a/>", "text/xml"],
      [415, "{}", form ? "application/json" : FORM],
      ...(form
        ? []
        : ([
            [400, "{", type],
            [400, "[]", type],
            [400, '"x"', type],
          ] as [number, string, string][])),
    ];
    for (const [status, body, contentType] of bodies) {
      const headers = { "content-type": contentType, ...fromNewAddress() };
      expectOAuthRefusal(await call(app, "POST", at(path), { body, headers }), status, "invalid_request");
    }
  });

  test("an address at which there is nothing, and a method that it does not take", async () => {
    const headers = fromNewAddress();
    for (const path of ["", "/", "/nothing", "/identity/x", "/oauth", "/oauth/authorize"])
      expectOAuthRefusal(await call(app, "POST", at(path), { headers }), 404, "invalid_request");
    for (const path of CALLS)
      for (const method of ["GET", "PUT", "DELETE"] as const) {
        const answer = await call(app, method, at(path), { headers });
        expectOAuthRefusal(answer, 405, "invalid_request");
        expect(answer.headers.allow).toBe("POST");
      }
  });

  test.each<[string, string, unknown]>([
    ["/identity", "agent_name", { agent_name: 1 }],
    ["/identity", "agent_name", { agent_name: "x".repeat(101) }],
    ["/identity", "agent_name", { agent_name: "two\nlines" }],
    ["/identity", "agent_name", { agent_name: "turned \u202e around" }],
    ["/identity", "agent_name", { agent_name: "\ud83d" }],
    ["/identity", "organization_name", { organization_name: "a\u0000b" }],
    ["/identity", "organization_name", { organization_name: ["Acme"] }],
    ["/identity/claim", "claim_token", { email: "ada@example.com" }],
    ["/identity/claim", "claim_token", { claim_token: "ot_clm_x", email: "ada@example.com" }],
    ["/identity/claim", "email", { claim_token: "x", email: "nobody" }],
    ["/identity/claim", "email", { claim_token: "x", email: "a@b.example\r\nbcc: c@d.example" }],
    ["/identity/claim", "email", { claim_token: "x", email: `${"x".repeat(250)}@b.example` }],
  ])("%s names `%s` in what it refuses: %j", async (path, field, body) => {
    const answer = await call(app, "POST", at(path), { body, headers: fromNewAddress() });
    expectOAuthRefusal(answer, 400, "invalid_request", new RegExp(field));
  });

  test("an identity of another type is refused by name; no body, and keys that are unknown, are fine", async () => {
    for (const identity_type of ["service_auth", "identity_assertion", ""])
      expectOAuthRefusal(await register(app, { identity_type }), 400, "unsupported_identity_type");
    expect((await call(app, "POST", at("/identity"), { headers: fromNewAddress() })).status).toBe(200);
    const empty = { body: "", headers: { "content-type": "application/json", ...fromNewAddress() } };
    expect((await call(app, "POST", at("/identity"), empty)).status).toBe(200);
    const body = { identity_type: "anonymous", agent_name: "  ", requested_credential_type: "api_key" };
    expect((await register(app, body)).status).toBe(200);
  });
});

describe("registrations", () => {
  const LATER = sql`extract(epoch from now()) * 1000 + 600000`;
  const used = (key: string, points: number) =>
    sql`
      insert into auth.attempts (key, points, expire) values (${key}, ${points}::integer, ${LATER})
      on conflict (key) do update set points = excluded.points, expire = excluded.expire`.execute(db);
  const from = (network: number, host = 1) => ({ "x-forwarded-for": `172.16.${network}.${host}` });

  test("are 40 an hour from a network, from however many of its addresses", async () => {
    await used("register-network:network:172.16.1", 39);
    const answers = await Promise.all([1, 2, 3].map((host) => register(app, {}, from(1, host))));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 429, 429]);
    expect((await register(app, {}, from(2))).status).toBe(200);
  });

  test("of networks that have had theirs draw on one allowance, and those of new networks on another", async () => {
    await used("register-shared:all", 150);
    await used("register-network:network:172.16.3", 5);
    const refused = await register(app, {}, from(3));
    expectOAuthRefusal(refused, 429, "rate_limit_exceeded");
    expect(Number(refused.headers["retry-after"])).toBeLessThanOrEqual(600);
    for (let i = 1; i <= 5; i++) expect((await register(app, {}, from(4, i))).status).toBe(200);
    expect((await register(app, {}, from(4, 6))).status).toBe(429);
    await used("register-shared:all", 0);
  });

  test("are bounded in all; who is over their own bound uses none of the others up", async () => {
    await used(`register:${addressBucket("172.16.5.1")}`, 20);
    await used("register-newcomers:all", 998);
    for (let i = 0; i < 3; i++) expect((await register(app, {}, from(5))).status).toBe(429);
    const answers = await Promise.all(Array.from({ length: 5 }, () => register(app)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(2);
    await used("register-newcomers:all", 0);
  });
});

describe("limits hold exactly, by address", () => {
  const statuses = (answers: { status: number }[]) =>
    [200, 429].map((status) => answers.filter((answer) => answer.status === status).length);

  test("20 agents an hour register from one, however many come at once, to two processes", async () => {
    const second = await startService(MAILING, service.config.databaseUrl);
    const headers = fromNewAddress();
    const answers = await Promise.all(
      Array.from({ length: 26 }, (_, i) => register(i % 2 ? app : second.app, {}, headers)),
    );
    expect(statuses(answers)).toEqual([20, 6]);
    const refused = answers.find(({ status }) => status === 429);
    expect(refused?.body.error).toBe("rate_limit_exceeded");
    expect(Number(refused?.headers["retry-after"])).toBeGreaterThan(3_500);
    expect((await register(app)).status).toBe(200);
  });

  test("5 mails an hour go to a person, however many agents name them; other people are not limited by that", async () => {
    const email = newEmail();
    const agents = await Promise.all(Array.from({ length: 4 }, () => createAgent(app)));
    const answers = await Promise.all(
      [...agents, ...agents].map(({ claimToken }, i) =>
        nameHuman(app, claimToken, i % 2 ? email : email.toUpperCase()),
      ),
    );
    expect(statuses(answers)).toEqual([5, 3]);
    const mails = await db.selectFrom("mails").where("recipient", "=", email).select("id").execute();
    expect(mails).toHaveLength(5);
    expect((await nameHuman(app, agents[0]?.claimToken ?? "", newEmail())).status).toBe(200);
  });

  test("20 people an hour are named from one, and unknown claim tokens use none of them up", async () => {
    const headers = fromNewAddress();
    const agents = await Promise.all(Array.from({ length: 5 }, () => createAgent(app)));
    const wrong = newSecret("ot_clm_", agents[0]?.accountId ?? "").value;
    for (let i = 0; i < 30; i++) expect((await nameHuman(app, wrong, newEmail(), headers)).status).toBe(400);
    const answers = [];
    for (let i = 0; i < 22; i++)
      answers.push(await nameHuman(app, agents[i % 5]?.claimToken ?? "", newEmail(), headers));
    expect(statuses(answers)).toEqual([20, 2]);
  });

  test("an agent names 5 people, however many at once, and what is refused for another reason is not counted", async () => {
    const { claimToken } = await createAgent(app);
    const full = newEmail();
    const others = await Promise.all(Array.from({ length: 5 }, () => createAgent(app)));
    for (const other of others) await nameHuman(app, other.claimToken, full);
    for (let i = 0; i < 5; i++) expect((await nameHuman(app, claimToken, full)).status).toBe(429);
    const answers = await Promise.all(
      Array.from({ length: 12 }, () => nameHuman(app, claimToken, newEmail())),
    );
    expect(statuses(answers)).toEqual([5, 7]);
    const { numUpdatedRows } = await db
      .updateTable("mails")
      .set({ attempts: 0 })
      .where("subject", "like", "%take on%")
      .where("recipient", "=", full)
      .executeTakeFirstOrThrow();
    expect(Number(numUpdatedRows)).toBe(5);
  });

  test("an address that asked for 120 unknown claims in a minute asks for known ones alone, and may register", async () => {
    const headers = fromNewAddress();
    const agent = await createAgent(app);
    const of = (claim_token: string) =>
      sendForm(app, "token", { grant_type: GRANT_TYPE, claim_token }, headers);
    for (let i = 0; i < 130; i++) expect((await of("ot_clm_x")).status).toBe(400);
    const unknown = () => newSecret("ot_clm_", accountKey("nobody")).value;
    for (let i = 0; i < 120; i++) expectOAuthRefusal(await of(unknown()), 400, "invalid_grant");
    expectOAuthRefusal(await of(unknown()), 429, "rate_limit_exceeded");
    expectOAuthRefusal(await of(agent.claimToken), 400, "authorization_pending");
    expect((await register(app, {}, headers)).status).toBe(200);
  });
});

describe("revoking", () => {
  const me = (token: string) => call(app, "GET", "/api/public/v1/auth/me", { token });

  test("ends a token at once, with the same answer as for any other", async () => {
    const agent = await createAgent(app);
    const answers = [];
    for (const token of [agent.token, agent.token, "ot_pat_x", agent.claimToken, "", "x".repeat(5_000)])
      answers.push(await sendForm(app, "revoke", { token, token_type_hint: "refresh_token" }));
    expect(answers.map(({ status, text }) => [status, text])).toEqual(Array(6).fill([200, "{}"]));
    expect((await me(agent.token)).status).toBe(401);
    expectOAuthRefusal(await sendForm(app, "revoke", {}), 400, "invalid_request", /token/);
  });

  test("leaves the claim open, and other tokens alone", async () => {
    const agent = await createAgent(app);
    const started = await startClaim(service, agent);
    await sendForm(app, "revoke", { token: agent.token });
    await claim(app, started);
    const first = (await poll(app, agent)).body.access_token;
    const { token } = await operate(app, "POST", `/accounts/${agent.id}/tokens`, {
      name: "Other",
      scopes: [],
    });
    await sendForm(app, "revoke", { token: first });
    expect([(await me(first)).status, (await me(token)).status]).toEqual([401, 200]);
  });

  test("ends what the token minted, too", async () => {
    const { accountId, id, token } = await createAgent(app);
    const minted = await operate(app, "POST", `/accounts/${id}/tokens`, { name: "Minted", scopes: [] });
    const further = await operate(app, "POST", `/accounts/${id}/tokens`, { name: "Further", scopes: [] });
    const root = (await me(token)).body.token.id;
    for (const [child, parent] of [
      [minted.metadata.id, root],
      [further.metadata.id, minted.metadata.id],
    ])
      await db
        .updateTable("tokens")
        .set({ minted_by: parent })
        .where("account_id", "=", accountId)
        .where("id", "=", child)
        .execute();
    await sendForm(app, "revoke", { token });
    for (const ended of [token, minted.token, further.token]) expect((await me(ended)).status).toBe(401);
  });
});

describe("discovery", () => {
  const read = async (path: string) => (await call(app, "GET", path)).body;

  test("says what the resource is and who gives tokens for it (RFC 9728)", async () => {
    const resource = await read("/.well-known/oauth-protected-resource");
    expect(resource).toMatchObject({
      resource: PUBLIC_URL,
      resource_name: "Countersign",
      authorization_servers: [PUBLIC_URL],
      bearer_methods_supported: ["header"],
    });
    expect(resource.scopes_supported).toContain("payments:write");
  });

  test("/mcp is a resource of its own, at the address that its path gives it, and names no server", async () => {
    const resource = await read("/.well-known/oauth-protected-resource/mcp");
    expect(resource).toMatchObject({ resource: `${PUBLIC_URL}/mcp`, resource_name: "Countersign" });
    // An MCP client takes any that is named for one with an authorization code flow.
    expect(resource).not.toHaveProperty("authorization_servers");
  });

  test("says how an agent registers, names its human and polls (RFC 8414), and each address takes a POST", async () => {
    const server = await read("/.well-known/oauth-authorization-server");
    expect(server).toMatchObject({
      issuer: PUBLIC_URL,
      grant_types_supported: [GRANT_TYPE],
      response_types_supported: [],
      token_endpoint_auth_methods_supported: ["none"],
      agent_auth: {
        skill: `${PUBLIC_URL}/auth.md`,
        grant_type: GRANT_TYPE,
        interval: 5,
        identity_types_supported: ["anonymous"],
        claiming_supported: true,
      },
    });
    const { identity_endpoint, claim_endpoint, token_endpoint, revocation_endpoint } = server.agent_auth;
    expect([server.token_endpoint, server.revocation_endpoint]).toEqual([
      token_endpoint,
      revocation_endpoint,
    ]);
    for (const url of [identity_endpoint, claim_endpoint, token_endpoint, revocation_endpoint]) {
      const answer = await call(app, "GET", url.slice(PUBLIC_URL.length), { headers: fromNewAddress() });
      expect([answer.status, answer.headers.allow], url).toEqual([405, "POST"]);
    }
  });
});
