import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { accountKey } from "../../src/lib/ids.ts";
import { type Answer, createFixture, type Fixture, fund, operate } from "../support/fixtures.ts";
import { createHuman, hiddenValue, open, submit } from "../support/humans.ts";
import { startService } from "../support/service.ts";

const { app, db } = await startService();

type Side = { fixture: Fixture; cookie: string };

/** An account with one pending approval, and `copies` more, each a minute longer than the one before it. */
async function begin(copies: number): Promise<Side> {
  const fixture = await createFixture(app);
  await fund(app, fixture.token, fixture.milestone);
  const accountId = accountKey(fixture.account);
  await sql`
    insert into milestones (account_id, id, contract_id, number, description, amount_cents, status, created_at, updated_at)
    select account_id, id || '-' || i, contract_id, number + i, description, amount_cents, status, created_at, updated_at
    from milestones, generate_series(1, ${copies}::int) i where account_id = ${accountId}`.execute(db);
  await sql`
    insert into approvals (account_id, id, type, status, contract_id, milestone_id, job_id, terms, terms_digest, co_sign,
      token_id, token_name, token_preview, root_token_id, created_at, expires_at)
    select account_id, overlay(id::text placing lpad(to_hex(i), 12, '0') from 25)::uuid, type, status, contract_id,
      milestone_id || '-' || i, job_id, terms, terms_digest, co_sign, token_id, 'Agent ' || i % 3, token_preview, root_token_id,
      created_at, expires_at - make_interval(mins => i)
    from approvals, generate_series(1, ${copies}::int) i where account_id = ${accountId}`.execute(db);
  const { cookie } = await createHuman(app, fixture.account);
  return { fixture, cookie };
}

const linksIn = ({ text }: Answer) =>
  [...text.matchAll(/<li class="approval">\s*<a href="(\/approvals\/[^"]+)"/g)].map(([, path]) => path);
const nextIn = ({ text }: Answer, param: string) =>
  new RegExp(`href="([^"]*${param}=[^"]*)"`).exec(text)?.[1]?.replaceAll("&amp;", "&");

describe("The inbox", () => {
  test("lists all of 211 pending approvals, the first to expire first, page by page", async () => {
    const side = await begin(210);
    const first = await open(app, "/approvals", side);
    expect(first.text).toContain("211 pending");
    expect(first.text).toContain('<span class="amount">$94,950.00 USD</span></strong> in total');
    expect(first.text).toContain(
      '<span class="count"><span>211</span><span class="away"> pending</span></span>',
    );
    const found: (string | undefined)[] = [];
    let pages = 0;
    for (let page: Answer | undefined = first; page !== undefined; ) {
      found.push(...linksIn(page));
      pages += 1;
      const next = nextIn(page, "after");
      page = next === undefined ? undefined : await open(app, next, side);
    }
    const { rows } = await sql<{ path: string }>`
      select '/approvals/' || id as path from approvals where account_id = ${accountKey(side.fixture.account)}
      order by expires_at, id`.execute(db);
    expect(found).toEqual(rows.map(({ path }) => path));
    expect(pages).toBe(5);
  });

  test("lists all that has ended, newest first, page by page", async () => {
    const side = await begin(110);
    const accountId = accountKey(side.fixture.account);
    await sql`update approvals set status = 'expired', resolved_at = expires_at where account_id = ${accountId}`.execute(
      db,
    );
    const found: (string | undefined)[] = [];
    for (let next: string | undefined = "/approvals"; next !== undefined; ) {
      const page: Answer = await open(app, next, side);
      found.push(...linksIn(page));
      next = nextIn(page, "before");
    }
    expect(found).toHaveLength(111);
    expect(new Set(found).size).toBe(111);
    expect(found).toEqual(found.toSorted().reverse());
  });

  test("filters by agent, payee, state and text, and says so where nothing matches", async () => {
    const side = await begin(5);
    const find = async (query: Record<string, string>) =>
      open(app, `/approvals?${new URLSearchParams(query)}`, side);
    expect(linksIn(await find({ agent: "Agent 1" }))).toHaveLength(2);
    expect(linksIn(await find({ payee: "Maria G." }))).toHaveLength(6);
    expect(linksIn(await find({ payee: "Nobody" }))).toHaveLength(0);
    expect(linksIn(await find({ q: "STREET" }))).toHaveLength(6);
    expect(linksIn(await find({ q: "450.00" }))).toHaveLength(6);
    expect(linksIn(await find({ q: `${side.fixture.milestone}-3` }))).toHaveLength(1);
    expect(linksIn(await find({ state: "waiting" }))).toHaveLength(6);
    expect((await find({ state: "declined" })).text).toContain("Nothing matches.");
    expect((await find({ q: '"><script>' })).text).not.toContain("<script>");
    const odd = await open(app, "/approvals?state=x&after=y&before=z&q[]=1&agent=", side);
    expect([odd.status, linksIn(odd).length]).toEqual([200, 0]);
  });

  test("says what became of each, why it was declined, and who asked", async () => {
    const side = await begin(1);
    // The copies are not what their milestones say, so they cannot be decided.
    const path = linksIn(await open(app, "/approvals", side)).at(-1) ?? "";
    const page = await open(app, path, side);
    const fields = ["nonce", "digest", "form_token"].map((name) => [
      name,
      hiddenValue(page, `${path}/decline`, name),
    ]);
    await submit(app, `${path}/decline`, { ...Object.fromEntries(fields), note: "Too dear" }, side);
    const { text } = await open(app, "/approvals", side);
    expect(text).toContain('<b class="state wrong">Declined</b>');
    expect(text).toContain("“<bdi>Too dear</bdi>”");
    expect(text).toContain('<b class="state pending">Pending</b>');
    expect(text).toContain("Requested by <bdi>Agent 1</bdi>");
    expect(text).toContain("/contracts.csv?account=");
  });

  test("shows nothing of another account, whatever the address asks for", async () => {
    const [side, stranger] = [await begin(1), await begin(0)];
    const [own] = linksIn(await open(app, "/approvals", side));
    await operate(app, "PUT", `/accounts/${side.fixture.account}`, { name: "Acme" });
    for (const query of ["", `?q=${own?.slice(-36)}`, "?before=ffffffff-ffff-7fff-bfff-ffffffffffff"])
      expect((await open(app, `/approvals${query}`, stranger)).text).not.toContain(`href="${own}"`);
  });
});
