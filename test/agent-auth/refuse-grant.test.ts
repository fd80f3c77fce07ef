import { describe, expect, test } from "vitest";
import { refuseGrant } from "../../src/agent-auth/grant-service.ts";
import { NO_ORIGIN } from "../../src/lib/origin.ts";
import { digestRows } from "../http/rows.ts";
import { createActor } from "../support/actors.ts";
import {
  type Agent,
  claim,
  createAgent,
  expectOAuthRefusal,
  letPollAge,
  letRegistrationAge,
  MAILING,
  poll,
  startClaim,
} from "../support/agents.ts";
import { auditOf } from "../support/audit.ts";
import { type Answer, call, createFixture, operate } from "../support/fixtures.ts";
import { createHuman, hiddenValue, invite, open, PASSWORD, submit } from "../support/humans.ts";
import { mailsTo } from "../support/mails.ts";
import { startService } from "../support/service.ts";

const service = await startService(MAILING);
const { app, db } = service;
const KEYS = "/settings/keys";

const refusePath = ({ accountId }: Agent) => `${KEYS}/waiting/${accountId}/refuse`;
const said = ({ text }: Answer) => text.replaceAll(/\s+/g, " ");

/** An agent whose account has just been claimed, and which has not asked since; and its owner. */
async function begin(fields: Record<string, string> = { payments_write: "yes" }) {
  const agent = await createAgent(app);
  const started = await startClaim(service, agent);
  return { agent, email: started.email, owner: { cookie: await claim(app, started, fields) } };
}

async function refuse(agent: Agent, owner: { cookie: string }): Promise<Answer> {
  const path = refusePath(agent);
  const form_token = hiddenValue(await open(app, path, owner), path);
  return submit(app, path, { form_token }, owner);
}

const tokensOf = ({ id }: Agent) => operate(app, "GET", `/accounts/${id}/tokens`);

describe("the key that a claim has promised to an agent", () => {
  test("is shown until the agent has fetched it: whose it is, what it may do, and until when", async () => {
    const { agent, owner } = await begin();
    const page = said(await open(app, KEYS, owner));
    for (const text of [
      "Waiting for the agent",
      "Claude Code",
      "ask for payments",
      "The agent can collect it until <time",
    ])
      expect(page).toContain(text);
    expect(page).toContain(refusePath(agent));
    expect((await poll(app, agent)).status).toBe(200);
    const after = said(await open(app, KEYS, owner));
    expect(after).not.toContain("Waiting for the agent");
    expect(after).toContain("Claude Code");
    expect((await open(app, refusePath(agent), owner)).status).toBe(404);
  });

  test("is refused after being asked, with a trace: the agent never gets it, and learns why", async () => {
    const { agent, owner, email } = await begin();
    const asked = await open(app, refusePath(agent), owner);
    expect(said(asked)).toContain("ask for payments");
    const answer = await refuse(agent, owner);
    expect([answer.status, answer.headers.location]).toEqual([303, `${KEYS}?said=refused`]);
    for (let turn = 0; turn < 2; turn++) {
      await letPollAge(db, agent, 60);
      expectOAuthRefusal(await poll(app, agent), 400, "invalid_grant", /owner of the account has refused/);
    }
    const { tokens } = await tokensOf(agent);
    expect(tokens.filter(({ status }: { status: string }) => status === "active")).toEqual([]);
    expect(said(await open(app, `${KEYS}?said=refused`, owner))).not.toContain("Waiting for the agent");
    const [trace] = await auditOf(db, email, ["grant_refused"]);
    expect(trace?.detail).toMatchObject({ registrationId: agent.id });
    expect(trace?.detail.scopes).toContain("payments:write");
    const told = (await mailsTo(db, email)).filter(({ subject }) => subject.includes("gets no API key"));
    expect(told).toHaveLength(1);
    expect(told[0]?.body).toContain("the agent “Claude Code”");
  });

  test("is either fetched or refused, however close the two come", async () => {
    for (let round = 0; round < 5; round++) {
      const { agent, owner } = await begin();
      const path = refusePath(agent);
      const form_token = hiddenValue(await open(app, path, owner), path);
      const [polled, refused] = await Promise.all([
        poll(app, agent),
        submit(app, path, { form_token }, owner),
      ]);
      const fetched = polled.status === 200;
      expect(refused.headers.location).toBe(`${KEYS}?said=${fetched ? "fetched" : "refused"}`);
      const { tokens } = await tokensOf(agent);
      const live = tokens.filter(({ status }: { status: string }) => status === "active");
      expect(live).toHaveLength(fetched ? 1 : 0);
    }
  });

  test("is no longer shown or issued once it has expired", async () => {
    const { agent, owner } = await begin();
    await letRegistrationAge(db, agent, 25);
    expect(said(await open(app, KEYS, owner))).not.toContain("Waiting for the agent");
    expectOAuthRefusal(await poll(app, agent), 400, "invalid_grant");
  });

  test("is seen and not refused by a viewer, and hidden from other accounts", async () => {
    const { agent, owner } = await begin();
    const { token, email } = await invite(app, agent.id, "viewer");
    const cookie = String(
      [(await submit(app, "/invite", { token, password: PASSWORD })).headers["set-cookie"]].flat()[0],
    ).split(";", 1)[0];
    const viewer = { cookie };
    const page = said(await open(app, KEYS, viewer));
    expect(page).toContain("Waiting for the agent");
    expect(page).not.toContain(refusePath(agent));
    expect((await open(app, refusePath(agent), viewer)).status).toBe(403);
    const user = await db
      .selectFrom("auth.users")
      .where("email", "=", email)
      .select("id")
      .executeTakeFirstOrThrow();
    const person = { ...(await createActor(db, user.id)), name: "Ada Owner", email };
    const account = { accountId: agent.accountId, accountName: "Acme" };
    const before = await digestRows(db);
    await expect(refuseGrant(service, person, account, NO_ORIGIN)).rejects.toThrow("Your role");
    const stranger = await createHuman(app, (await createFixture(app)).account);
    for (const path of [refusePath(agent), `${KEYS}/waiting/x/refuse`])
      expect((await open(app, path, stranger)).status).toBe(404);
    const form_token = hiddenValue(await open(app, refusePath(agent), owner), refusePath(agent));
    expect((await submit(app, refusePath(agent), { form_token }, stranger)).status).toBe(403);
    const { agent_registrations } = await digestRows(db);
    expect(agent_registrations).toEqual(before.agent_registrations);
    expect((await poll(app, agent)).status).toBe(200);
  });

  test("is absent where no agent has come by itself", async () => {
    const { account, token } = await createFixture(app);
    const owner = await createHuman(app, account);
    expect(said(await open(app, KEYS, owner))).not.toContain("Waiting for the agent");
    expect((await call(app, "GET", "/api/public/v1/auth/me", { token })).status).toBe(200);
  });
});
