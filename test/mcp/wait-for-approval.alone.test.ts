import { afterEach, describe, expect, test, vi } from "vitest";
import { accountKey } from "../../src/lib/ids.ts";
import { listenToQueries } from "../events/queries.ts";
import { endTokens, expire } from "../http/rows.ts";
import { begin, decide, type Story } from "../support/approval-scene.ts";
import { createFixture, operate } from "../support/fixtures.ts";
import { waitUntil } from "../support/process.ts";
import { startService } from "../support/service.ts";
import { approvalIn, connectTo, textOf } from "./clients.ts";

const service = await startService();
const { app, db, waiters } = service;
afterEach(() => {
  vi.restoreAllMocks();
  expect(waiters.count, "no request is left waiting").toBe(0);
});

/** A tool call that waits for the approval. Its answer comes boxed, or it would be awaited here. */
async function hold({ token, approvalId }: Story, waitSeconds = 30) {
  const client = await connectTo(app, { token });
  const before = waiters.count;
  const name = "opentrain_wait_for_approval";
  const result = client.callTool({ name, arguments: { approvalId, waitSeconds } });
  await waitUntil(() => waiters.count === before + 1, "the call waits");
  return { result };
}

const approvalOf = async ({ result }: Awaited<ReturnType<typeof hold>>) => {
  const answer = await result;
  return { text: textOf(answer), ...approvalIn(answer) };
};

describe("opentrain_wait_for_approval", () => {
  test("answers as soon as a human has confirmed, when the money has moved", async () => {
    const story = await begin(service);
    const held = await hold(story);
    await decide(service, story, "confirm");
    const { status, result, text } = await approvalOf(held);
    expect([status, result?.invoiceId]).toEqual(["confirmed", expect.any(String)]);
    expect(text).toMatch(/^CONFIRMED: a human confirmed it, and the action has been executed/);
  });

  test("answers as soon as a human has declined, and says that it is a no", async () => {
    const story = await begin(service);
    const held = await hold(story);
    await decide(service, story, "decline");
    const { status, text } = await approvalOf(held);
    expect(status).toBe("declined");
    expect(text).toMatch(/^DECLINED: a human said no/);
  });

  test("answers as soon as it has ended early, and says that it is not a no", async () => {
    const story = await begin(service);
    const held = await hold(story);
    await operate(app, "POST", `/accounts/${story.account}/milestones/${story.milestone}/cancel`);
    const { status, text } = await approvalOf(held);
    expect(status).toBe("expired");
    expect(text).toMatch(/^EXPIRED: it ended before a decision \(milestone_cancelled\).*That is not a no/s);
  });

  test("answers at once about one that has expired, before any sweep has seen it", async () => {
    const story = await begin(service);
    await expire(db, story, story.approvalId);
    const client = await connectTo(app, { token: story.token });
    const result = await client.callTool({
      name: "opentrain_wait_for_approval",
      arguments: { approvalId: story.approvalId },
    });
    expect(textOf(result)).toMatch(/^EXPIRED: it was not decided in time.*That is not a no/s);
  });

  test("says `pending` when the time is up, which is no failure", async () => {
    const story = await begin(service);
    const { status, text } = await approvalOf(await hold(story, 1));
    expect(status).toBe("pending");
    expect(text).toMatch(/^PENDING: not decided yet.*Do not request it again/s);
  });

  test("goes on waiting while other things happen in the account", async () => {
    const story = await begin(service);
    const held = await hold(story);
    const event = { type: "message.received", resourceId: "r-1" };
    await operate(app, "POST", `/accounts/${story.account}/events`, event);
    await waitUntil(() => waiters.count === 1, "it waits on");
    await decide(service, story, "decline");
    expect((await approvalOf(held)).status).toBe("declined");
  });

  test("costs no query while it waits", async () => {
    const story = await begin(service);
    const held = await hold(story);
    const sent = listenToQueries();
    await createFixture(app);
    expect(sent.filter(({ values }) => values?.includes(accountKey(story.account)))).toEqual([]);
    await decide(service, story, "decline");
    await held.result;
  });

  test("tells nothing to a token that was revoked meanwhile", async () => {
    const story = await begin(service);
    const held = await hold(story);
    await endTokens(db, story, "revoked");
    await decide(service, story, "decline");
    const result = await held.result;
    expect(result.isError).toBe(true);
    expect(textOf(result)).toMatch(/401 UNAUTHORIZED/);
  });
});
