import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { mintToken } from "../../src/accounts/token-service.ts";
import { sendApprovalMails } from "../../src/approvals/mail-service.ts";
import { readClock } from "../../src/database/clock.ts";
import { inTransaction } from "../../src/database/transaction.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { SCOPES } from "../../src/lib/scopes.ts";
import { createAgent } from "../support/agents.ts";
import { beginCoSign, sendForm, signForm } from "../support/co-sign.ts";
import { type Answer, call, createFixture, createMilestone, fund } from "../support/fixtures.ts";
import { createHuman, open } from "../support/humans.ts";
import { mailsTo } from "../support/mails.ts";
import { userIdOf } from "../support/passkeys.ts";
import { startService } from "../support/service.ts";

const service = await startService();
const { app, db, config } = service;

const CLAIMED = "Finance (approved by Hanna)";
const textOf = ({ text }: Answer): string =>
  text
    .slice(text.indexOf("<main"))
    .replaceAll(/<[^>]*>/g, "")
    .replaceAll(/\s+/g, " ");

/** A person's own key, as the page that makes them does it. */
async function mintAs(story: { account: string; email: string }, name: string): Promise<string> {
  const userId = await userIdOf(db, story.email);
  const account = { accountId: accountKey(story.account), organizationId: story.account };
  const request = { name, scopes: SCOPES, expiresAt: null };
  const { token } = await inTransaction(db, async (trx) =>
    mintToken(trx, account, request, { userId, name: "Ada Owner" }, await readClock(trx)),
  );
  return token;
}

/** What the agent that holds the token mints for itself, under a name of its choice. */
async function mintFrom(token: string, name: string): Promise<string> {
  const { status, body } = await call(app, "POST", "/api/public/v1/tokens", { token, body: { name } });
  expect(status).toBe(201);
  return body.token;
}

describe("the name that an agent gave itself", () => {
  test("is marked as such wherever an approval is shown, with who made its root", async () => {
    const story = await beginCoSign(service);
    const minted = await mintFrom(await mintAs(story, "Buyer"), CLAIMED);
    const milestone = `${story.milestone}-2`;
    await createMilestone(app, story, milestone);
    const { body } = await fund(app, minted, milestone);
    const path = `/approvals/${body.approval.id}`;
    const marked = "named itself; its API key descends from one created by Ada Owner";

    expect(textOf(await open(app, path, story))).toContain(`${CLAIMED} for Acme ${marked}`);
    expect(textOf(await open(app, "/approvals", story))).toContain(`Requested by ${CLAIMED}, ${marked}`);
    expect(textOf(await open(app, "/settings/keys", story))).toContain(marked);
    await sendApprovalMails({ db, config });
    expect((await mailsTo(db, story.email)).at(-1)?.body).toContain(
      `asked for by “${CLAIMED}” (named itself; its API key descends from one created by “Ada Owner”)`,
    );

    // What it was asked with may end and be forgotten before it is decided.
    await sql`delete from idempotency_keys where account_id = ${accountKey(story.account)}`.execute(db);
    await sql`delete from tokens where account_id = ${accountKey(story.account)} and name = ${CLAIMED}`.execute(
      db,
    );
    await sql`delete from tokens where account_id = ${accountKey(story.account)} and name = 'Buyer'`.execute(
      db,
    );
    const asked = { ...story, approvalId: body.approval.id, path, milestone };
    await sendForm(app, asked, await signForm(app, asked));
    expect(textOf(await open(app, path, story))).toContain(marked);
    expect(textOf(await open(app, `${path}/receipt`, story))).toContain(`${CLAIMED}${marked}`);
  });

  test("is marked of an agent that registered by itself, and of what it mints", async () => {
    const agent = await createAgent(app, { agent_name: CLAIMED });
    await mintFrom(agent.token, "The auditors");
    const { rows } = await sql<{ name: string; maker_kind: string }>`
      select name, maker_kind from tokens where account_id = ${agent.accountId} order by created_at`.execute(
      db,
    );
    expect(rows).toEqual([
      { name: CLAIMED, maker_kind: "agent" },
      { name: "The auditors", maker_kind: "agent" },
    ]);
  });
});

test("a name that the operator or a person gave is not marked, and says who gave it", async () => {
  const fixture = await createFixture(app);
  const human = { ...(await createHuman(app, fixture.account)), account: fixture.account };
  const { body: first } = await fund(app, fixture.token, fixture.milestone);
  const byOperator = textOf(await open(app, `/approvals/${first.approval.id}`, human));
  expect(byOperator).toContain("Test agent for Acme API key created by the operator");
  await createMilestone(app, fixture, `${fixture.milestone}-2`);
  const { body } = await fund(app, await mintAs(human, "Buyer"), `${fixture.milestone}-2`);
  const byPerson = textOf(await open(app, `/approvals/${body.approval.id}`, human));
  expect(byPerson).toContain("Buyer for Acme API key created by Ada Owner");
  for (const page of [byOperator, byPerson]) expect(page).not.toContain("named itself");
});
