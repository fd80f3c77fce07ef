import { expect, test } from "vitest";
import type { MemberRole } from "../../src/database/schema.ts";
import { extendOperatorFeed } from "../../src/events/operator-service.ts";
import { claim, createAgent, MAILING, startClaim } from "../support/agents.ts";
import { call, createFixture, operate } from "../support/fixtures.ts";
import { createHuman, hiddenValue, invite, newEmail, open, PASSWORD, submit } from "../support/humans.ts";
import { startService } from "../support/service.ts";

const service = await startService(MAILING);
const { app, db } = service;

/** An account with a contract, which is all that the operator has said of it. */
async function createAccount(): Promise<string> {
  return (await createFixture(app)).account;
}

/** What the operator has heard of the account's people. */
async function heard(account: string) {
  await extendOperatorFeed(db);
  const told: { type: string; resourceId: string; jobId: null; data: Record<string, unknown> }[] = [];
  for (let cursor = "0", more = true; more; ) {
    const page = await operate(app, "GET", `/updates?limit=200&cursor=${cursor}`);
    told.push(...page.events.filter((event: { accountId: string }) => event.accountId === account));
    ({ nextCursor: cursor, hasMore: more } = page);
  }
  const ofPeople = told.filter(({ type }) => /^(account|member)\./.test(type));
  return ofPeople.map(({ type, resourceId, jobId, data }) => ({ type, resourceId, jobId, data }));
}

const joined = (memberId: string, email: string, role: MemberRole, name = "Ada Owner") => ({
  type: "member.joined",
  resourceId: memberId,
  jobId: null,
  data: { memberId, email, name, role },
});
const claimed = (account: string, memberId: string, email: string, name = "Ada Owner") => ({
  type: "account.claimed",
  resourceId: account,
  jobId: null,
  data: { memberId, email, name },
});

test("a viewer joins, and an owner claims the account: the operator hears of both, and of each once", async () => {
  const account = await createAccount();
  const viewer = await createHuman(app, account, "viewer");
  expect(await heard(account)).toEqual([joined(viewer.memberId, viewer.email, "viewer")]);
  const owner = await createHuman(app, account);
  const { token } = await invite(app, account, "approver");
  expect((await submit(app, "/invite", { token, password: PASSWORD })).status).not.toBe(303);
  expect(await heard(account)).toEqual([
    joined(viewer.memberId, viewer.email, "viewer"),
    claimed(account, owner.memberId, owner.email),
    joined(owner.memberId, owner.email, "owner"),
  ]);
});

test("a signed-in person joins another account", async () => {
  const person = await createHuman(app, await createAccount());
  const account = await createAccount();
  const { token, memberId } = await invite(app, account, "viewer", person.email);
  const form_token = hiddenValue(await open(app, `/invite?token=${token}`, person), "/invite");
  await submit(app, "/invite", { token, form_token }, person);
  expect(await heard(account)).toEqual([joined(memberId, person.email, "viewer")]);
});

test("a person claims what an agent registered, and no agent hears of it", async () => {
  const agent = await createAgent(app);
  const email = newEmail();
  await claim(app, await startClaim(service, agent, email), { name: "Grace" });
  const { members } = await operate(app, "GET", `/accounts/${agent.id}/members`);
  const memberId = members[0].id;
  expect((await heard(agent.id)).slice(1)).toEqual([
    claimed(agent.id, memberId, email, "Grace"),
    joined(memberId, email, "owner", "Grace"),
  ]);
  const { account, token } = await createFixture(app);
  await createHuman(app, account);
  const { events } = (await call(app, "GET", "/api/public/v1/updates", { token })).body;
  expect(events.map(({ type }: { type: string }) => type)).not.toContain("member.joined");
});
