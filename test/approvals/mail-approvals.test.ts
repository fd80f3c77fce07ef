import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { sendApprovalMails } from "../../src/approvals/mail-service.ts";
import { accountKey } from "../../src/lib/ids.ts";
import {
  call,
  createFixture,
  createMilestone,
  type Fixture,
  fund,
  MARIA,
  operate,
} from "../support/fixtures.ts";
import { createHuman, hiddenValue, open, submit } from "../support/humans.ts";
import { ownerOf } from "../support/owner.ts";
import { startService } from "../support/service.ts";

const { app, db, config } = await startService();
const sweep = () => sendApprovalMails({ db, config });

type Watched = Fixture & { email: string; cookie: string };

async function begin(role: "owner" | "approver" | "viewer" = "owner"): Promise<Watched> {
  const fixture = await createFixture(app);
  const { email, cookie } = await createHuman(app, fixture.account, role);
  return { ...fixture, email, cookie };
}

async function mailsTo({ email }: Watched) {
  return db
    .selectFrom("mails")
    .where("recipient", "=", email)
    .select(["subject", "body"])
    .orderBy("created_at")
    .execute();
}

/** As if the mails and what they tell of were older: everything the rules measure moves back together. */
async function letTimePass({ account }: Watched, interval: string): Promise<void> {
  const id = accountKey(account);
  const owner = ownerOf(db);
  await sql`alter table approvals disable trigger user`.execute(owner);
  await sql`
    update approvals set created_at = created_at - ${interval}::interval, expires_at = expires_at - ${interval}::interval,
      notify_at = notify_at - ${interval}::interval, resolved_at = resolved_at - ${interval}::interval
    where account_id = ${id}`.execute(owner);
  await sql`alter table approvals enable trigger user`.execute(owner);
  await sql`update members set mailed_at = mailed_at - ${interval}::interval where account_id = ${id}`.execute(
    db,
  );
}

async function decline(watched: Watched): Promise<void> {
  const { body } = await fund(app, watched.token, watched.milestone);
  const path = `/approvals/${body.approval.id}`;
  const page = await open(app, path, watched);
  const form = `${path}/decline`;
  const fields = {
    nonce: hiddenValue(page, form, "nonce"),
    digest: hiddenValue(page, form, "digest"),
    form_token: hiddenValue(page, form),
  };
  expect((await submit(app, form, fields, watched)).status).toBe(303);
}

describe("mail about approvals that wait", () => {
  test("goes once to each member who may decide, says what is asked, and leads to the page that decides", async () => {
    const watched = await begin();
    const { body } = await fund(app, watched.token, watched.milestone);
    await Promise.all([sweep(), sweep()]);
    await sweep();
    const mails = await mailsTo(watched);
    expect(mails).toHaveLength(1);
    expect(mails[0]?.body).toContain("fund $450.00 USD for “Maria G.”, asked for by “Test agent”");
    expect(mails[0]?.body).toContain(body.approval.approvalUrl);
    expect(mails[0]?.body).not.toMatch(/confirm\b.*http/);
  });

  test("holds no line that an agent or a payee wrote, and nothing that turns the amount around", async () => {
    const watched = await begin();
    const hostile = (word: string) =>
      `${word}\n\nDecide here instead:\r\n\r\nhttps://evil.example\u2028\u202e`;
    const contract = `/accounts/${watched.account}/contracts/${watched.contract}`;
    await operate(app, "PUT", contract, { freelancer: { ...MARIA, displayName: hostile("Maria") } });
    const body = { name: hostile("Agent") };
    const { body: minted } = await call(app, "POST", "/api/public/v1/tokens", { token: watched.token, body });
    await fund(app, minted.token, watched.milestone);
    await sweep();
    const [mail] = await mailsTo(watched);
    const lines = mail?.body?.split(/[\n\r\u2028]+/) ?? [];
    expect(lines.filter((line) => line.includes("Decide here"))).toHaveLength(1);
    expect(lines.find((line) => line.includes("Decide here"))).toMatch(
      /^fund \$450\.00 USD for “Maria Decide here/,
    );
    expect(mail?.body).not.toContain("\u202e");
  });

  test("shows where a name begins and ends, and no more of it than a name needs", async () => {
    const watched = await begin();
    const name = `Ada”, your accountant. She has checked it, so confirm without reading${" it".repeat(10)}`;
    const body = { name };
    const { body: minted } = await call(app, "POST", "/api/public/v1/tokens", { token: watched.token, body });
    await fund(app, minted.token, watched.milestone);
    await sweep();
    const [mail] = await mailsTo(watched);
    expect(mail?.body).toContain("asked for by “Ada', your accountant. She has checked i…” (named itself;");
  });

  test("does not go to a viewer", async () => {
    const watched = await begin("viewer");
    await fund(app, watched.token, watched.milestone);
    await sweep();
    expect(await mailsTo(watched)).toHaveLength(0);
  });

  test("comes at most once in 10 minutes, and then lists all that waits", async () => {
    const watched = await begin();
    await fund(app, watched.token, watched.milestone);
    await sweep();
    for (const n of [2, 3]) {
      await createMilestone(app, watched, `${watched.milestone}-${n}`);
      await fund(app, watched.token, `${watched.milestone}-${n}`);
      await sweep();
    }
    expect(await mailsTo(watched)).toHaveLength(1);
    await letTimePass(watched, "11 minutes");
    await sweep();
    const mails = await mailsTo(watched);
    expect(mails).toHaveLength(2);
    expect(mails[1]?.subject).toContain("3 approvals");
  });

  test("after a decline the next two requests for the milestone are quiet for 24 hours, the third is not", async () => {
    const watched = await begin();
    await decline(watched);
    await sweep();
    await letTimePass(watched, "20 minutes");
    for (const quiet of [true, true, false]) {
      await fund(app, watched.token, watched.milestone);
      await sweep();
      expect(await mailsTo(watched), String(quiet)).toHaveLength(quiet ? 0 : 1);
      if (quiet) {
        const terms = { description: `changed, so that the pending one ends: ${Math.random()}` };
        await operate(app, "PUT", `/accounts/${watched.account}/milestones/${watched.milestone}`, terms);
      }
    }
  });

  test("nudges once, a day before it expires", async () => {
    const watched = await begin();
    await fund(app, watched.token, watched.milestone);
    await sweep();
    await letTimePass(watched, "47 hours");
    await sweep();
    expect(await mailsTo(watched)).toHaveLength(1);
    await letTimePass(watched, "90 minutes");
    await sweep();
    await sweep();
    expect(await mailsTo(watched)).toHaveLength(2);
    await letTimePass(watched, "20 minutes");
    await sweep();
    expect(await mailsTo(watched)).toHaveLength(2);
  });
});
