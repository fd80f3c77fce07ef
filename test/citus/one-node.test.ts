import { expect, test } from "vitest";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { cloneDatabase } from "../support/clones.ts";
import { askEnd, askRelease, createEscrow } from "../support/escrow.ts";
import { call, createFixture, fund } from "../support/fixtures.ts";
import { startService } from "../support/service.ts";
import { confirmNow, readOutcome } from "../support/stories.ts";

const url = await cloneDatabase();
const { app: arranging } = await startService({}, url);
/** A service for which a statement that would ask several shards is an error. */
const { app, db, config } = await startService({}, strictUrl());

function strictUrl(): string {
  const strict = new URL(url);
  // A plan that is made for comparison alone would count too.
  const settings = { "citus.multi_task_query_log_level": "error", plan_cache_mode: "force_custom_plan" };
  const options = Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`);
  strict.searchParams.set("options", options.join(" "));
  return strict.href;
}

test("no call of an agent asks several shards", async () => {
  const { token, contract, milestone } = await createFixture(arranging);
  const api = async (method: "GET" | "POST", path: string, body?: unknown) => {
    const answer = await call(app, method, `/api/public/v1${path}`, { token, body });
    expect(answer).toMatchObject({ status: expect.toSatisfy((status: number) => status < 300) });
    return answer.body;
  };
  const { approval } = (await fund(app, token, milestone)).body;
  await Promise.all(Array.from({ length: 30 }, () => fund(app, token, milestone)));
  await Promise.all(Array.from({ length: 30 }, () => api("GET", `/approvals/${approval.id}`)));
  await api("GET", "/capabilities");
  await api("GET", "/updates?cursor=0");
  await api("GET", "/contracts");
  await api("GET", `/contracts/${contract}`);
  await api("POST", `/contracts/${contract}/milestones`, { description: "More", amountUsd: 5 });
  await api("POST", `/approvals/${approval.id}/withdraw`);
});

test("no confirmation asks several shards: of a funding, a release, and a contract's end", async () => {
  const deps = { db, config, processor: createSandbox(db, config.publicUrl) };
  const escrow = await createEscrow(arranging, deps, { count: 2 });
  for (const asked of [askRelease, askEnd]) {
    const story = await asked(app, escrow);
    await confirmNow(deps, story);
    expect(await readOutcome(db, story)).toEqual({ approval: "confirmed", payment: "succeeded" });
  }
  const { token } = escrow.fixture;
  const { events } = (await call(app, "GET", "/updates?limit=200", { token })).body;
  expect(events.length).toBeGreaterThan(5);
  // A head that took itself for one of another server would have jumped by a billion.
  expect(Number(events.at(-1).id)).toBeLessThan(1_000);
});
