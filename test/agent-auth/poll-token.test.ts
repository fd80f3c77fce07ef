import { describe, expect, test } from "vitest";
import { accountKey } from "../../src/lib/ids.ts";
import { newSecret } from "../../src/lib/secrets.ts";
import {
  type Agent,
  claim,
  claimSignedIn,
  createAgent,
  expectOAuthRefusal,
  GRANT_TYPE,
  letClaimAge,
  letPollAge,
  letRegistrationAge,
  MAILING,
  nameHuman,
  poll,
  sendForm,
  startClaim,
} from "../support/agents.ts";
import { call, createFixture, operate } from "../support/fixtures.ts";
import { createHuman, invite, newEmail, PASSWORD, submit } from "../support/humans.ts";
import { countWaiting, holdLock } from "../support/locks.ts";
import { waitUntil } from "../support/process.ts";
import { startService } from "../support/service.ts";

const service = await startService(MAILING);
const { app, db, connection } = service;

/** Polls as an agent that has waited long enough. */
async function pollInTime(agent: Agent) {
  await letPollAge(db, agent, 60);
  return poll(app, agent);
}

describe("an agent that waits for its human", () => {
  test("is told to name one first, then to wait", async () => {
    const agent = await createAgent(app);
    expectOAuthRefusal(
      await poll(app, agent),
      400,
      "authorization_pending",
      /Name one at the claim endpoint/,
    );
    await startClaim(service, agent);
    expectOAuthRefusal(await poll(app, agent), 400, "authorization_pending", /not finished yet/);
  });

  test("that polls faster than the interval must wait five seconds longer each time, a minute at most", async () => {
    const agent = await createAgent(app);
    await startClaim(service, agent);
    await poll(app, agent);
    await letPollAge(db, agent, 4);
    expectOAuthRefusal(await poll(app, agent), 400, "slow_down", /Wait 10 seconds/);
    await letPollAge(db, agent, 9);
    expectOAuthRefusal(await poll(app, agent), 400, "slow_down", /Wait 15 seconds/);
    await letPollAge(db, agent, 15);
    expectOAuthRefusal(await poll(app, agent), 400, "authorization_pending");
    await letPollAge(db, agent, 14);
    for (let seconds = 20; seconds <= 60; seconds += 5)
      expectOAuthRefusal(await poll(app, agent), 400, "slow_down", new RegExp(`Wait ${seconds} seconds`));
    expectOAuthRefusal(await poll(app, agent), 400, "slow_down", /Wait 60 seconds/);
  });

  test("of polls at once lets one through, and counts the others", async () => {
    const agent = await createAgent(app);
    await startClaim(service, agent);
    await using lock = await holdLock(
      connection,
      `select from agent_registrations where account_id = '${agent.accountId}' for update`,
    );
    const sent = Promise.all(Array.from({ length: 6 }, () => poll(app, agent)));
    await waitUntil(async () => (await countWaiting(db)) === 6, "the polls wait");
    await lock.letGo();
    const errors = (await sent).map(({ body }) => body.error).sort();
    expect(errors).toEqual(["authorization_pending", ...Array(5).fill("slow_down")]);
  });

  test("is not told of a claim by a poll that comes too soon, and has its token by the next one", async () => {
    const agent = await createAgent(app);
    const started = await startClaim(service, agent);
    await poll(app, agent);
    await claim(app, started);
    expectOAuthRefusal(await poll(app, agent), 400, "slow_down");
    await letPollAge(db, agent, 10);
    expect((await poll(app, agent)).status).toBe(200);
  });

  test("that restarts the claim resets its polls", async () => {
    const agent = await createAgent(app);
    await startClaim(service, agent);
    await poll(app, agent);
    expectOAuthRefusal(await poll(app, agent), 400, "slow_down");
    await startClaim(service, agent);
    expectOAuthRefusal(await poll(app, agent), 400, "authorization_pending");
  });

  test("learns when the claim has expired, and can start another with the same claim token", async () => {
    const agent = await createAgent(app);
    await startClaim(service, agent);
    await letClaimAge(db, agent, 31);
    expectOAuthRefusal(await poll(app, agent), 400, "expired_token", /Start again at the claim endpoint/);
    await claim(app, await startClaim(service, agent));
    expect((await pollInTime(agent)).status).toBe(200);
  });

  test("hears when the window is over, and to register again", async () => {
    const agent = await createAgent(app);
    await startClaim(service, agent);
    await letRegistrationAge(db, agent, 24.1);
    expectOAuthRefusal(await poll(app, agent), 400, "expired_token", /Register again/);
    expectOAuthRefusal(
      await nameHuman(app, agent.claimToken, newEmail()),
      400,
      "invalid_request",
      /Register again/,
    );
  });
});

describe("the token of a claim", () => {
  test("is given once, to one of many polls at once, and never again", async () => {
    const agent = await createAgent(app);
    await claim(app, await startClaim(service, agent));
    const answers = await Promise.all(Array.from({ length: 6 }, () => poll(app, agent)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expectOAuthRefusal(await pollInTime(agent), 400, "invalid_grant", /given already/);
    const { tokens } = await operate(app, "GET", `/accounts/${agent.id}/tokens`);
    expect(tokens.map(({ status }: { status: string }) => status).sort()).toEqual(["active", "revoked"]);
  });

  test.each([
    [{}, [] as string[]],
    [{ payments_write: "yes" }, ["payments:write"]],
    [{ webhooks_manage: "yes" }, ["webhooks:manage"]],
    [{ payments_write: "yes", webhooks_manage: "yes" }, ["payments:write", "webhooks:manage"]],
  ])("has payments:write and webhooks:manage if the human ticks them: %j", async (ticked, more) => {
    const agent = await createAgent(app);
    await claim(app, await startClaim(service, agent), ticked);
    const { body } = await poll(app, agent);
    const always = ["jobs:read", "jobs:write", "proposals:read", "proposals:write", "messages:read"];
    always.push("messages:write", "payments:read", "team:read", "team:write");
    expect([...body.scopes].sort()).toEqual([...always, ...more].sort());
    const me = await call(app, "GET", "/api/public/v1/auth/me", { token: body.access_token });
    expect(me.body.token.scopes).toEqual(body.scopes);
  });

  test("waits an hour for its agent, when the claim came at the last moment", async () => {
    const [agent, late] = [await createAgent(app), await createAgent(app)];
    for (const one of [agent, late]) {
      await claim(app, await startClaim(service, one));
      await letRegistrationAge(db, one, 24);
    }
    await db
      .updateTable("agent_registrations")
      .set({ claimed_at: new Date() })
      .where("account_id", "=", agent.accountId)
      .execute();
    expect((await poll(app, agent)).status).toBe(200);
    expectOAuthRefusal(await poll(app, late), 400, "invalid_grant");
  });

  test("is not issued for an account whose owner came by an invitation, as no one has granted scopes", async () => {
    const agent = await createAgent(app);
    const started = await startClaim(service, agent);
    const { token } = await invite(app, agent.id, "owner");
    expect((await submit(app, "/invite", { token, password: PASSWORD })).status).toBe(303);
    expectOAuthRefusal(await poll(app, agent), 400, "invalid_grant", /claimed another way/);
    expectOAuthRefusal(
      await nameHuman(app, agent.claimToken, newEmail()),
      400,
      "invalid_request",
      /claimed already/,
    );
    const human = await createHuman(app, (await createFixture(app)).account);
    const page = await call(app, "GET", `/claim?token=${started.link}`, {
      headers: { cookie: human.cookie },
    });
    expect(page.status).toBe(410);
  });

  test("waits while the account has as many as it may have, and is not lost", async () => {
    const agent = await createAgent(app);
    await claim(app, await startClaim(service, agent));
    const path = `/accounts/${agent.id}/tokens`;
    const minted = [];
    for (let i = 0; i < 25; i++)
      minted.push(await operate(app, "POST", path, { name: `Key ${i}`, scopes: [] }));
    expectOAuthRefusal(await poll(app, agent), 400, "invalid_request", /Revoke one first/);
    await sendForm(app, "revoke", { token: minted[0].token });
    expect((await poll(app, agent)).status).toBe(200);
  });

  test("comes of a claim by a person who has a sign-in already, too", async () => {
    const human = await createHuman(app, (await createFixture(app)).account);
    const agent = await createAgent(app);
    const started = await startClaim(service, agent, human.email);
    expect((await claimSignedIn(app, started, human.cookie)).headers.location).toBe("/claim?said=claimed");
    expect((await poll(app, agent)).status).toBe(200);
  });
});

describe("the token endpoint", () => {
  test("does not lock an account for a forged claim token", async () => {
    const { account } = await createFixture(app);
    const accountId = accountKey(account);
    const claimToken = newSecret("ot_clm_", accountId).value;
    await using _held = await holdLock(
      connection,
      `select from accounts where account_id = '${accountId}' for no key update`,
    );
    const answer = await sendForm(app, "token", { grant_type: GRANT_TYPE, claim_token: claimToken });
    expectOAuthRefusal(answer, 400, "invalid_grant");
  });

  test("names what is wrong with a request, by OAuth's names", async () => {
    const agent = await createAgent(app);
    const claim_token = agent.claimToken;
    const other = await createAgent(app);
    const cases: [Record<string, string>, string][] = [
      [{}, "invalid_request"],
      [{ claim_token }, "invalid_request"],
      [{ grant_type: GRANT_TYPE }, "invalid_request"],
      [{ grant_type: "urn:ietf:params:oauth:grant-type:device_code", claim_token }, "unsupported_grant_type"],
      [{ grant_type: "password", username: "a", password: "b" }, "unsupported_grant_type"],
      [{ grant_type: GRANT_TYPE, claim_token: agent.token }, "invalid_grant"],
      [{ grant_type: GRANT_TYPE, claim_token: "ot_clm_x" }, "invalid_grant"],
      [
        { grant_type: GRANT_TYPE, claim_token: claim_token.slice(0, -22) + other.claimToken.slice(-22) },
        "invalid_grant",
      ],
    ];
    for (const [fields, error] of cases) expectOAuthRefusal(await sendForm(app, "token", fields), 400, error);
    const twice = `grant_type=${GRANT_TYPE}&claim_token=${claim_token}&claim_token=${claim_token}`;
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    expectOAuthRefusal(
      await call(app, "POST", "/api/agent/oauth/token", { body: twice, headers }),
      400,
      "invalid_request",
    );
  });
});
