import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { sweepExpiredApprovals } from "../../src/approvals/jobs.ts";
import { sendApprovalMails } from "../../src/approvals/mail-service.ts";
import { createWorld, insertExpired, type World } from "../concurrency/world.ts";
import { fund } from "../support/fixtures.ts";
import { createHuman } from "../support/humans.ts";
import { mailsTo } from "../support/mails.ts";
import { ownerOf } from "../support/owner.ts";
import { startService } from "../support/service.ts";

/** Has the database refuse every event of the account, and with it the transaction that writes one. */
async function refuseEventsOf(db: Parameters<typeof ownerOf>[0], { accountId }: World): Promise<void> {
  await sql
    .raw(
      `create or replace function refuse_event() returns trigger language plpgsql as $$
        begin raise exception 'refused'; end $$;
      create or replace trigger refused before insert on events
        for each row when (new.account_id = '${accountId}') execute function refuse_event();`,
    )
    .execute(ownerOf(db));
}

describe("an account whose rows cannot be written", () => {
  test("does not keep the approvals of others from expiring, however many of its own have", async () => {
    const { db } = await startService();
    // More than one batch, all older than the other account's.
    const refused = await createWorld(db, { milestones: 600 });
    const other = await createWorld(db, { milestones: 3 });
    await insertExpired(db, refused);
    await insertExpired(db, other);
    await refuseEventsOf(db, refused);

    await expect(sweepExpiredApprovals(db)).rejects.toMatchObject({
      errors: [{ message: "refused" }, { message: "refused" }],
    });
    const statuses = await db
      .selectFrom("approvals")
      .select(["account_id", "status", (count) => count.fn.countAll<number>().as("count")])
      .groupBy(["account_id", "status"])
      .orderBy("count")
      .execute();
    expect(statuses).toEqual([
      { account_id: other.accountId, status: "expired", count: 3 },
      { account_id: refused.accountId, status: "pending", count: 600 },
    ]);
    const { rows } = await sql`select 1 from events where account_id = ${other.accountId}`.execute(db);
    expect(rows).toHaveLength(3);
  });

  test("does not keep the members of others from their mail, and is tried again a minute later", async () => {
    const { app, db, config } = await startService();
    const refused = await createWorld(db, { milestones: 1 });
    const other = await createWorld(db, { milestones: 1 });
    const people = [await createHuman(app, refused.account), await createHuman(app, other.account)];
    for (const { token, milestones } of [refused, other])
      expect((await fund(app, token, milestones[0]?.id ?? "")).status).toBe(202);
    await refuseEventsOf(db, refused);

    await expect(sendApprovalMails({ db, config })).rejects.toMatchObject({
      errors: [{ message: "refused" }],
    });
    const mailed = await Promise.all(people.map(({ email }) => mailsTo(db, email)));
    const about = mailed.map(
      (mails) => mails.filter(({ subject }) => subject.startsWith("To confirm: ")).length,
    );
    expect(about).toEqual([0, 1]);
    // Not due any more, so that it fills no batch before the others.
    await sendApprovalMails({ db, config });
    const { rows } = await sql<{ later: boolean }>`
      select notify_at > now() as later from approvals where account_id = ${refused.accountId}`.execute(db);
    expect(rows).toEqual([{ later: true }]);
  });
});
