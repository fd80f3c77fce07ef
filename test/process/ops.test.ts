import { expect, test, vi } from "vitest";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { cloneDatabase } from "../support/clones.ts";
import { operate } from "../support/fixtures.ts";
import { runProgram } from "../support/process.ts";
import { startService } from "../support/service.ts";
import { confirmNow, createStories, type Story } from "../support/stories.ts";

vi.setConfig({ testTimeout: 120_000 });

const url = await cloneDatabase();
const { app, db, config } = await startService({}, url);

test("ops shows an operator what waits and an account with its activity, as tables and as JSON", async () => {
  const { stories, fixture, human } = await createStories(app, "pm_card_visa", 1);
  const [story] = stories as [Story];
  const { approvals } = await operate(app, "GET", "/approvals");
  const account: string = approvals[0].accountId;
  await operate(app, "PUT", `/accounts/${account}`, { name: "Evil \u202e\n Inc" });
  // The address alone: no secret of the service is needed.
  const run = (...args: string[]) => runProgram(["ops", ...args], { DATABASE_URL: url });

  const all = await run();
  expect(all).toMatchObject({ code: 0, stderr: "" });
  for (const title of [
    "IN-DOUBT\nnone",
    "PAYING\nnone",
    "WAITING\naskedAt",
    "SWEEPS\nsweep",
    "WEBHOOKS\nnone",
  ])
    expect(all.stdout).toContain(title);
  expect(all.stdout).toContain(story.approvalId);
  expect(all.stdout).toMatch(/^work was last seen +never/m);

  const one = await run("account", account);
  expect(one.stdout).toContain("Evil    Inc");
  expect(one.stdout).toMatch(/account_created +operator/);

  // The log names the account's key, and a leaked token no account at all.
  for (const trace of [accountKey(account), fixture.token]) {
    const traced = await run("account", trace);
    expect(traced.stdout).toContain("Evil    Inc");
    const ours = traced.stdout.split("\n").filter((line) => line.includes("this one"));
    expect(ours).toHaveLength(trace === fixture.token ? 1 : 0);
    expect(traced.stdout).toContain(human.email);
  }

  const { waiting } = JSON.parse((await run("waiting", "--json")).stdout);
  expect(waiting).toEqual([expect.objectContaining({ approval: story.approvalId, account })]);

  const { stories: unanswered } = await createStories(app, "pm_sandbox_timeout", 1);
  await confirmNow(
    { db, config, processor: createSandbox(db, config.publicUrl) },
    unanswered[0] as Story,
  ).catch(() => {});
  const paying = JSON.parse((await run("paying", "--json")).stdout).paying;
  expect(paying).toMatchObject([{ kind: "charge", status: "unknown", milestone: unanswered[0]?.milestone }]);
  expect(Date.parse(paying[0].nextReadAt)).toBeGreaterThan(Date.parse(paying[0].since));

  for (const [args, said] of [
    [["account", "nobody"], "There is no such account"],
    [["nonsense"], "ops [in-doubt"],
    [["account"], "ops [in-doubt"],
  ] as const) {
    const ended = await run(...args);
    expect(ended).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining(said) });
    expect(ended.stderr.trimEnd().split("\n")).toHaveLength(1);
  }
});
