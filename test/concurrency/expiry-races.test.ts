import { describe, expect, test, vi } from "vitest";
import { sweepExpiredApprovals } from "../../src/approvals/jobs.ts";
import { readClock } from "../../src/database/clock.ts";
import { cloneDatabase } from "../support/clones.ts";
import { type Answer, call, fund } from "../support/fixtures.ts";
import { count } from "../support/long.ts";
import { startProcess } from "../support/process.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import { findViolations } from "./invariants.ts";
import { createWorld, insertExpired, type World } from "./world.ts";

// Seconds on an idle machine; others may share this one.
vi.setConfig({ testTimeout: 120_000 });

const MILESTONES = count(4, 12);

const url = await cloneDatabase();
const [one, two] = [await startService({}, url), await startService({}, url)];
const { app, db } = one;

function storedApprovals(world: World) {
  return db
    .selectFrom("approvals")
    .where("account_id", "=", world.accountId)
    .select(["id", "milestone_id", "status", "expires_at", "resolved_at", "result"])
    .orderBy("created_at")
    .execute();
}

async function endEvents(world: World): Promise<unknown[]> {
  const rows = await db
    .selectFrom("events")
    .where("account_id", "=", world.accountId)
    .where("type", "=", "approval.confirmed")
    .select("data")
    .execute();
  return rows.map((row) => row.data);
}

describe("an approval whose 72 hours have passed", () => {
  test("flips once, with one event and one successor, however many processes ask and sweep at once", async () => {
    const processes = await Promise.all([
      startProcess("serve", url, { PUBLIC_URL }),
      startProcess("serve", url, { PUBLIC_URL }),
    ]);
    const world = await createWorld(db, { milestones: MILESTONES, perContract: 5 });
    const expired = await insertExpired(db, world);
    const ask = async (milestone: string, i: number): Promise<Answer> => {
      const process = processes[i];
      if (process === undefined) return fund(i === 2 ? app : two.app, world.token, milestone);
      return process.call("POST", `/milestones/${milestone}/fund`, { token: world.token });
    };
    const [answers, swept] = await Promise.all([
      Promise.all(
        world.milestones.map(({ id }) => Promise.all([0, 1, 2, 3, 0, 1].map((turn) => ask(id, turn)))),
      ),
      Promise.all([one.db, two.db, one.db, two.db].map(sweepExpiredApprovals)),
    ]);

    expect(swept.reduce((a, b) => a + b)).toBeLessThanOrEqual(MILESTONES);
    const stored = Map.groupBy(await storedApprovals(world), (row) => row.milestone_id);
    for (const [i, { id }] of world.milestones.entries()) {
      const [old, successor, ...more] = stored.get(id) ?? [];
      expect(more).toEqual([]);
      expect(old).toMatchObject({
        id: expired[i],
        status: "expired",
        resolved_at: old?.expires_at,
        result: null,
      });
      expect(successor).toMatchObject({ status: "pending" });
      const [first, ...others] = answers[i] ?? [];
      expect(first?.body.approval?.id, first?.text).toBe(successor?.id);
      expect(others.map(({ text }) => text)).toEqual(Array(5).fill(first?.text));
    }
    const events = await endEvents(world);
    expect(events).toHaveLength(MILESTONES);
    expect(events).toEqual(
      expect.arrayContaining(expired.map((approvalId) => ({ approvalId, status: "expired" }))),
    );
    expect(await findViolations(db, [world.accountId])).toEqual([]);
  });

  test("is flipped once by sweeps at once, each taking its share of the count", async () => {
    const world = await createWorld(db, { milestones: MILESTONES });
    const expired = await insertExpired(db, world);
    const swept = await Promise.all(
      Array.from({ length: 8 }, (_, i) => sweepExpiredApprovals([one, two][i % 2]?.db ?? db)),
    );

    expect(swept.reduce((a, b) => a + b)).toBe(MILESTONES);
    const stored = await storedApprovals(world);
    expect(new Map(stored.map(({ id, status }) => [id, status]))).toEqual(
      new Map(expired.map((id) => [id, "expired"])),
    );
    expect(await endEvents(world)).toHaveLength(MILESTONES);
  });

  test("reads expired at its expiry before any sweep, and a read leaves the row as it is", async () => {
    const world = await createWorld(db, { milestones: 1 });
    const [id = ""] = await insertExpired(db, world);
    const { body } = await call(app, "GET", `/approvals/${id}`, { token: world.token });

    expect(body.approval).toMatchObject({
      status: "expired",
      resolvedAt: body.approval.expiresAt,
      result: null,
    });
    expect(await storedApprovals(world)).toMatchObject([{ id, status: "pending", resolved_at: null }]);
    expect(await endEvents(world)).toEqual([]);
  });

  test("is ended as expired, without a reason, when its milestone is cancelled before any sweep", async () => {
    const world = await createWorld(db, { milestones: 1 });
    const [id = ""] = await insertExpired(db, world);
    const read = () => call(app, "GET", `/approvals/${id}`, { token: world.token });
    const before = await read();
    const [milestone] = world.milestones;
    await call(app, "POST", `/api/operator/v1/accounts/${world.account}/milestones/${milestone?.id}/cancel`, {
      token: one.config.operatorApiKeys[0] ?? "",
    });

    expect((await storedApprovals(world))[0]?.status).toBe("expired");
    expect((await read()).body).toEqual(before.body);
    expect(await findViolations(db, [world.accountId])).toEqual([]);
  });
});

test("a fund request never answers an approval that had expired when it was sent, by the database's clock", async () => {
  const short = await Promise.all([1, 2].map(() => startService({ APPROVAL_TTL_SECONDS: "1" }, url)));
  const world = await createWorld(db, { milestones: 4 });
  const milestones = world.milestones.map(({ id }) => id);
  const generations = new Map(milestones.map((id) => [id, new Set<string>()]));
  const lived = () => [...generations.values()].every((ids) => ids.size >= count(2, 3));

  const ask = async (milestone: string, service: (typeof short)[number]): Promise<void> => {
    let latest = "";
    while (!lived()) {
      const sent = await readClock(db);
      const { status, text, body } = await fund(service.app, world.token, milestone);
      expect(status, text).toBe(202);
      const { id, status: state, expiresAt } = body.approval;
      expect(state).toBe("pending");
      expect(new Date(expiresAt).getTime()).toBeGreaterThan(sent.getTime());
      // UUIDv7 goes up with time: an older one is never shown again.
      expect(id >= latest).toBe(true);
      latest = id;
      generations.get(milestone)?.add(id);
    }
  };
  const sweep = async (): Promise<void> => {
    while (!lived()) await sweepExpiredApprovals(two.db);
  };
  await Promise.all([
    ...milestones.flatMap((id) => short.map((service) => ask(id, service))),
    sweep(),
    sweep(),
  ]);

  for (const [milestone, ids] of generations) {
    const rows = (await storedApprovals(world)).filter((row) => row.milestone_id === milestone);
    expect(new Set(rows.map((row) => row.id))).toEqual(ids);
  }
  expect(await findViolations(db, [world.accountId])).toEqual([]);
});
