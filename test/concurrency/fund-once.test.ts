import { describe, expect, test, vi } from "vitest";
import { accountKey } from "../../src/lib/ids.ts";
import { cloneDatabase } from "../support/clones.ts";
import { createFixture, createMilestone, fund, operate } from "../support/fixtures.ts";
import { startProcess } from "../support/process.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";

// Seconds on an idle machine; others may share this one.
vi.setConfig({ testTimeout: 120_000 });

const url = await cloneDatabase();
const { app, db } = await startService({}, url);
const processes = await Promise.all([
  startProcess("serve", url, { PUBLIC_URL }),
  startProcess("serve", url, { PUBLIC_URL }),
]);

/** Asks `times` times for each of the milestones, all at once; each milestone's requests go to both processes. */
function fundAtOnce(token: string, milestones: readonly string[], times: number) {
  return Promise.all(
    Array.from({ length: times }, (_, time) => {
      const process = processes[time % processes.length];
      if (process === undefined) throw new TypeError("there are two");
      return milestones.map(async (milestone) => ({
        milestone,
        answer: await process.call("POST", `/milestones/${milestone}/fund`, { token }),
      }));
    }).flat(),
  );
}

/** Asks once for each milestone, all at once, by turns at both processes. */
function fundOnce(token: string, milestones: readonly string[]) {
  return milestones.map((milestone, i) => {
    const process = processes[i % processes.length];
    if (process === undefined) throw new TypeError("there are two");
    return process.call("POST", `/milestones/${milestone}/fund`, { token });
  });
}

function storedApprovals(account: string) {
  return db
    .selectFrom("approvals")
    .where("account_id", "=", accountKey(account))
    .select(["id", "milestone_id", "status"])
    .execute();
}

describe("fund requests at once over two processes", () => {
  test("100 for one milestone give one approval, one row and the same bytes", async () => {
    const fixture = await createFixture(app);
    const answers = await fundAtOnce(fixture.token, [fixture.milestone], 100);

    expect(new Set(answers.map(({ answer }) => answer.status))).toEqual(new Set([202]));
    const bodies = new Set(answers.map(({ answer }) => answer.text));
    expect(bodies.size).toBe(1);
    const [body = ""] = bodies;
    expect(await storedApprovals(fixture.account)).toEqual([
      { id: JSON.parse(body).approval.id, milestone_id: fixture.milestone, status: "pending" },
    ]);
  });

  test("60 milestones that one agent asks for give 50 approvals, and leave room for another agent", async () => {
    const fixture = await createFixture(app);
    const milestones = Array.from({ length: 60 }, (_, i) => `${fixture.milestone}-${i}`);
    for (const milestone of milestones) await createMilestone(app, fixture, milestone);
    const answers = await Promise.all(fundOnce(fixture.token, milestones));
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 202)).toHaveLength(50);
    expect(statuses.filter((status) => status === 429)).toHaveLength(10);
    expect(await storedApprovals(fixture.account)).toHaveLength(50);
    const body = { name: "Another agent", scopes: ["payments:write"] };
    const { token } = await operate(app, "POST", `/accounts/${fixture.account}/tokens`, body);
    expect((await fund(app, token, fixture.milestone)).status).toBe(202);
  });

  test("6 for each of 20 milestones of a contract give one approval a milestone", async () => {
    const fixture = await createFixture(app);
    const milestones = Array.from({ length: 20 }, (_, i) => `${fixture.milestone}-${i}`);
    for (const milestone of milestones) await createMilestone(app, fixture, milestone);
    const answers = await fundAtOnce(fixture.token, milestones, 6);

    expect(new Set(answers.map(({ answer }) => answer.status))).toEqual(new Set([202]));
    const byMilestone = Map.groupBy(answers, ({ milestone }) => milestone);
    for (const [milestone, same] of byMilestone) {
      expect(new Set(same.map(({ answer }) => answer.text)).size, milestone).toBe(1);
    }
    const answered = new Map(answers.map(({ milestone, answer }) => [milestone, answer.body.approval.id]));
    const rows = await storedApprovals(fixture.account);
    expect(rows).toHaveLength(milestones.length);
    expect(new Map(rows.map((row) => [row.milestone_id, row.id]))).toEqual(answered);
  });
});
