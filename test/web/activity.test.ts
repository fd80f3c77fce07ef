import { expect, test } from "vitest";
import { AUDIT_ACTIONS } from "../../src/audit/schemas.ts";
import { recordAudit } from "../../src/audit/service.ts";
import { inTransaction } from "../../src/database/transaction.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { NO_ORIGIN } from "../../src/lib/origin.ts";
import { ACTIONS, actionsOf, GROUPS } from "../../src/web/settings/activity/activity-words.ts";
import { createFixture } from "../support/fixtures.ts";
import { createHuman, open } from "../support/humans.ts";
import { startService } from "../support/service.ts";

const { app, db } = await startService();
const PATH = "/settings/activity";

async function begin(role: "owner" | "approver" | "viewer" = "owner") {
  const fixture = await createFixture(app);
  return {
    ...fixture,
    accountId: accountKey(fixture.account),
    ...(await createHuman(app, fixture.account, role)),
  };
}

/** Each entry a millisecond after the one before, and after what the fixture did, so that their order is certain. */
let at = Date.now() + 60_000;
const act = (accountId: string, action: (typeof AUDIT_ACTIONS)[number], name: string, after = {}) =>
  inTransaction(db, (trx) =>
    recordAudit(
      trx,
      {
        accountId,
        actor: { kind: "person", userId: "u", name },
        action,
        subject: { kind: "card", id: "pm_1" },
        after,
        origin: NO_ORIGIN,
      },
      new Date(++at),
    ),
  );

test("owners and approvers read what was done in their account, newest first, with who and from where", async () => {
  for (const role of ["owner", "approver"] as const) {
    const { accountId, cookie, name } = await begin(role);
    await act(accountId, "card_added", "First", { brand: "visa" });
    await act(accountId, "card_removed", "Second");
    const { text } = await open(app, PATH, { cookie });
    expect(text.indexOf("removed a card")).toBeGreaterThan(0);
    expect(text.indexOf("removed a card")).toBeLessThan(text.indexOf("added a card"));
    expect(text).toContain("brand: ");
    expect(text).toContain("signed in");
    expect(text).toContain(name);
  }
});

test("a viewer, and a member of another account, read nothing of it", async () => {
  const viewer = await begin("viewer");
  expect((await open(app, PATH, viewer)).status).toBe(403);
  expect((await open(app, `${PATH}.csv`, viewer)).status).toBe(403);
  const [one, other] = [await begin(), await begin()];
  for (const path of [PATH, `${PATH}.csv`])
    expect((await open(app, `${path}?account=${one.accountId}`, other)).status).toBe(404);
});

test("every action belongs to a group that the filter offers, and a filter shows its group alone", async () => {
  expect(Object.keys(ACTIONS).sort()).toEqual([...AUDIT_ACTIONS]);
  expect(
    Object.keys(GROUPS)
      .flatMap((group) => actionsOf(group) ?? [])
      .sort(),
  ).toEqual([...AUDIT_ACTIONS]);
  const { accountId, cookie } = await begin();
  await act(accountId, "card_added", "Cara");
  const { text } = await open(app, `${PATH}?group=cards`, { cookie });
  expect(text).toContain("added a card");
  expect(text).not.toContain("signed in");
  expect((await open(app, `${PATH}?group=__proto__`, { cookie })).text).toContain("signed in");
});

test("older entries are reached page by page, none twice and none left out", async () => {
  const { accountId, cookie } = await begin();
  for (let i = 0; i < 60; i++) await act(accountId, "card_added", `Cara ${i}.`);
  const seen: string[] = [];
  let path: string | undefined = `${PATH}?group=cards`;
  while (path !== undefined) {
    const { text }: { text: string } = await open(app, path, { cookie });
    seen.push(...[...text.matchAll(/Cara (\d+)\./g)].map(([, i = ""]) => i));
    path = /href="([^"]+)">Show older/.exec(text)?.[1]?.replaceAll("&amp;", "&");
  }
  // Entries of one millisecond stand in any order.
  const byNumber = seen.map(Number).sort((a, b) => a - b);
  expect(byNumber).toEqual(Array.from({ length: 60 }, (_, i) => i));
  expect((await open(app, `${PATH}?cursor=nonsense`, { cookie })).status).toBe(400);
});

test("the CSV holds every entry once, and no cell runs as a formula", async () => {
  const { accountId, cookie } = await begin();
  for (let i = 0; i < 205; i++) await act(accountId, "webhook_added", "Cara");
  await act(accountId, "webhook_deleted", '=HYPERLINK("https://evil.example")');
  const answer = await open(app, `${PATH}.csv?group=webhooks`, { cookie });
  expect(answer.headers["content-type"]).toBe("text/csv; charset=utf-8");
  const lines = answer.text.trimEnd().split("\r\n");
  expect(lines).toHaveLength(1 + 206);
  expect(lines[0]).toMatch(/^time,action,actor_kind,actor_name,/);
  expect(lines[1]).toContain(`"'=HYPERLINK(`);
  expect(answer.text).not.toMatch(/(^|,)"?[=+@-]/m);
});
