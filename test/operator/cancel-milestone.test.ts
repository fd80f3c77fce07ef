import { describe, expect, test } from "vitest";
import { ask, expectRefusal } from "../http/expectations.ts";
import { setMilestoneStatus } from "../http/rows.ts";
import { createFixture, type Fixture, operate } from "../support/fixtures.ts";
import { startService } from "../support/service.ts";

const { app, db } = await startService();

describe("POST /accounts/{id}/milestones/{milestoneId}/cancel", () => {
  const cancel = ({ account }: Fixture, id: string) =>
    ask(app, "POST", `/accounts/${account}/milestones/${id}/cancel`);
  const get = ({ account }: Fixture, id: string) =>
    operate(app, "GET", `/accounts/${account}/milestones/${id}`);

  test("cancels one that is not funded, for good, and answers the same when asked again", async () => {
    const fixture = await createFixture(app);
    const first = await cancel(fixture, fixture.milestone);
    expect([first.status, first.body.milestone.status]).toEqual([200, "CANCELLED"]);
    expect((await cancel(fixture, fixture.milestone)).text).toBe(first.text);
  });

  test("refuses one that is funded, paid or refunded", async () => {
    const fixture = await createFixture(app);
    for (const status of ["ACTIVE_FUNDED", "PAID", "REFUNDED"] as const) {
      await setMilestoneStatus(db, fixture, status);
      const answer = await cancel(fixture, fixture.milestone);
      expectRefusal(answer, 409, "CONFLICT", { reason: "milestone_not_fundable", status });
    }
  });

  test("does not find another account's, or one that is not there", async () => {
    const [mine, theirs] = [await createFixture(app), await createFixture(app)];
    for (const milestoneId of [theirs.milestone, "nothing"]) {
      const details = { resource: "milestones", milestoneId };
      expectRefusal(await cancel(mine, milestoneId), 404, "NOT_FOUND", details);
    }
    expect((await get(theirs, theirs.milestone)).milestone.status).toBe("NOT_FUNDED");
  });
});
