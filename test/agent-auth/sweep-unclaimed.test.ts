import { expect, test } from "vitest";
import { sweepUnclaimed } from "../../src/agent-auth/jobs.ts";
import { extendOperatorFeed } from "../../src/events/operator-service.ts";
import { digestRows } from "../http/rows.ts";
import {
  type Agent,
  claim,
  createAgent,
  expectOAuthRefusal,
  letRegistrationAge,
  MAILING,
  nameHuman,
  poll,
  startClaim,
} from "../support/agents.ts";
import { call, operate } from "../support/fixtures.ts";
import { invite, newEmail, open, PASSWORD, submit } from "../support/humans.ts";
import { OPERATOR_KEY, startService } from "../support/service.ts";

const service = await startService(MAILING);
const { app, db } = service;

const DAY = 24;
const account = ({ id }: Agent) =>
  call(app, "GET", `/api/operator/v1/accounts/${id}`, { token: OPERATOR_KEY });
const me = (token: string) => call(app, "GET", "/api/public/v1/auth/me", { token });

test("an agent's token ends with the window by itself, before any sweep", async () => {
  const agent = await createAgent(app);
  await letRegistrationAge(db, agent, DAY - 0.1);
  expect((await me(agent.token)).status).toBe(200);
  await letRegistrationAge(db, agent, 0.2);
  expect((await me(agent.token)).status).toBe(401);
});

test("nothing is left of an unclaimed account but its events in the operator's feed", async () => {
  await extendOperatorFeed(db);
  const before = await digestRows(db);
  const agent = await createAgent(app);
  await startClaim(service, agent);
  await letRegistrationAge(db, agent, 2 * DAY - 0.1);
  expect(await sweepUnclaimed(db)).toBe(0);
  expect((await account(agent)).status).toBe(200);
  await letRegistrationAge(db, agent, 0.2);
  expect(await sweepUnclaimed(db)).toBe(1);
  const after = await digestRows(db);
  const told = ["auth.attempts", "public.mails", "public.operator_events", "public.operator_head"];
  expect(Object.keys(after).filter((table) => after[table] !== before[table])).toEqual(told);
  expect((await account(agent)).status).toBe(404);
  expectOAuthRefusal(await poll(app, agent), 400, "invalid_grant");
  expectOAuthRefusal(await nameHuman(app, agent.claimToken, newEmail()), 400, "invalid_request");
});

test.each<[string, (agent: Agent) => Promise<unknown>]>([
  ["a name", ({ id }) => operate(app, "PUT", `/accounts/${id}`, { name: "Acme" })],
  ["a member", ({ id }) => invite(app, id, "owner")],
  [
    "a card",
    ({ id }) => operate(app, "POST", `/accounts/${id}/payment-methods`, { paymentMethod: "pm_card_visa" }),
  ],
  ["a token", ({ id }) => operate(app, "POST", `/accounts/${id}/tokens`, { name: "Theirs", scopes: [] })],
  [
    "an event",
    ({ id }) =>
      operate(app, "POST", `/accounts/${id}/events`, { type: "message.received", resourceId: "m-1" }),
  ],
  [
    "a contract",
    ({ id }) =>
      operate(app, "PUT", `/accounts/${id}/contracts/c-${id}`, {
        title: "Street scenes",
        jobId: "job-1",
        paymentType: "FIXED_PRICE",
        freelancer: { userId: "f-1", displayName: "Maria G.", country: "Spain", profilePath: "/maria" },
      }),
  ],
])("an account into which the operator has put %s stays, and who came is forgotten", async (_what, put) => {
  const agent = await createAgent(app);
  const { link } = await startClaim(service, agent);
  await put(agent);
  await letRegistrationAge(db, agent, 2 * DAY + 1);
  expect(await sweepUnclaimed(db)).toBe(0);
  expect((await account(agent)).status).toBe(200);
  const left = await db
    .selectFrom("agent_registrations")
    .where("account_id", "=", agent.accountId)
    .selectAll()
    .execute();
  expect(left).toEqual([]);
  expect((await open(app, `/claim?token=${link}`)).status).toBe(410);
  expect((await me(agent.token)).status).toBe(401);
  const { token } = await invite(app, agent.id, "owner");
  expect((await submit(app, "/invite", { token, password: PASSWORD })).status).toBe(303);
  expect((await account(agent)).body.account.claimed).toBe(true);
});

test("an account that was claimed stays as it is, however old", async () => {
  const agent = await createAgent(app);
  await claim(app, await startClaim(service, agent));
  const { body } = await poll(app, agent);
  await letRegistrationAge(db, agent, 100 * DAY);
  const before = await digestRows(db);
  expect(await sweepUnclaimed(db)).toBe(0);
  expect(await digestRows(db)).toEqual(before);
  expect((await me(body.access_token)).status).toBe(200);
});

test("several sweeps at once remove each account once", async () => {
  const agents = await Promise.all(Array.from({ length: 8 }, () => createAgent(app)));
  for (const agent of agents) await letRegistrationAge(db, agent, 2 * DAY + 1);
  const counts = await Promise.all([1, 2, 3].map(() => sweepUnclaimed(db)));
  expect(counts.reduce((sum, count) => sum + count)).toBe(8);
});

test("the operator hears of an account that registered itself, and no agent does", async () => {
  const agent = await createAgent(app, { agent_name: "Claude Code" });
  await extendOperatorFeed(db);
  const told = [];
  for (let cursor = "0", more = true; more; ) {
    const page = await operate(app, "GET", `/updates?limit=200&cursor=${cursor}`);
    told.push(...page.events.filter((event: { accountId: string }) => event.accountId === agent.id));
    ({ nextCursor: cursor, hasMore: more } = page);
  }
  expect(told).toMatchObject([
    {
      type: "account.registered",
      resourceId: agent.id,
      jobId: null,
      data: { agentName: "Claude Code", organizationName: null },
    },
  ]);
  const own = await call(app, "GET", "/api/public/v1/updates", agent);
  expect(own.body).toMatchObject({ events: [], nextCursor: "1", hasMore: false });
});
