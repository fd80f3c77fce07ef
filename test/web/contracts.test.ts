import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { createEscrow, type Escrow, readMilestones, setPayoutAccount } from "../support/escrow.ts";
import { call, createFixture, createMilestone, type Fixture, operate } from "../support/fixtures.ts";
import { createHuman, type HumanFixture, hiddenValue, landing, open, submit } from "../support/humans.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";

// People confirm here untyped what would be typed by default: two milestones are refunded at once.
const { app, db, config } = await startService({ CONFIRM_AMOUNT_FROM: "999999" });
const deps = { db, config, processor: createSandbox(db, PUBLIC_URL) };

type Side = { fixture: Fixture; human: Pick<HumanFixture, "cookie"> };

async function begin({ card = true }: { card?: boolean } = {}): Promise<Escrow> {
  const fixture = await createFixture(app, { card });
  const human = await createHuman(app, fixture.account);
  return { fixture, human, accountId: accountKey(fixture.account), milestones: [fixture.milestone] };
}

const pathOf = ({ fixture }: Side) => `/contracts/${fixture.contract}`;
const actOn = (side: Side, act: "fund" | "release") =>
  `${pathOf(side)}/milestones/${side.fixture.milestone}/${act}`;
const end = (side: Side) => `${pathOf(side)}/end`;

/** Opens the page and sends one of its forms. */
async function send(side: Side, form: string, from = pathOf(side)) {
  const page = await open(app, from, side.human);
  const fields = {
    account_id: hiddenValue(page, form, "account_id"),
    form_token: hiddenValue(page, form),
  };
  return {
    again: () => submit(app, form, fields, side.human),
    answer: await submit(app, form, fields, side.human),
  };
}

async function confirm(path: string, { human }: Side) {
  const page = await open(app, path, human);
  const names = ["nonce", "digest", "form_token"];
  const fields = Object.fromEntries(names.map((name) => [name, hiddenValue(page, `${path}/confirm`, name)]));
  expect((await submit(app, `${path}/confirm`, fields, human)).status).toBe(303);
  return page.text;
}

const locationOf = ({ status, headers, text }: Awaited<ReturnType<typeof submit>>) => {
  expect(status, text).toBe(303);
  return String(headers.location);
};

async function countApprovals({ fixture }: Side): Promise<number> {
  const row = db
    .selectFrom("approvals")
    .where("account_id", "=", accountKey(fixture.account))
    .select((select) => select.fn.countAll<number>().as("count"));
  return (await row.executeTakeFirstOrThrow()).count;
}

describe("A person on a contract's page", () => {
  test("funds a milestone: the request is theirs, they confirm, and the money is held in escrow", async () => {
    const side = await begin();
    const { answer, again } = await send(side, actOn(side, "fund"));
    const approval = locationOf(answer);
    expect(approval).toMatch(/^\/approvals\/[0-9a-f-]{36}$/);
    expect(locationOf(await again())).toBe(approval);
    expect(await countApprovals(side)).toBe(1);
    const pending = (await open(app, pathOf(side), side.human)).text;
    expect(pending).toContain("Funding is pending");
    expect(pending).toContain(`href="${approval}"`);
    expect(pending).not.toContain('/fund"');
    const asked = await confirm(approval, side);
    expect(asked).toContain("a member, on the contract’s page");
    expect(asked).not.toContain("API key created by");
    expect(asked.replaceAll(/<[^>]*>/g, "").replaceAll(/\s+/g, " ")).toMatch(
      /Requested by Ada Owner for Acme a member/,
    );
    expect(asked).not.toContain("an agent of");
    const after = (await open(app, pathOf(side), side.human)).text;
    expect(after).toContain("Held in escrow");
    expect(after).toContain("Visa card ending in 4242");
    expect(after).toContain("<b>Confirmed</b>");
    expect(await readMilestones(app, side)).toEqual(["ACTIVE_FUNDED"]);
    const { rows } = await sql<{ actor: string; action: string }>`
      select actor_kind as actor, action from audit_entries
      where account_id = ${side.accountId} and action = 'approval_requested'`.execute(db);
    expect(new Set(rows.map(({ actor }) => actor))).toEqual(new Set(["person"]));
  });

  test("releases a milestone's money, which is paid out once", async () => {
    const side = await createEscrow(app, deps);
    const before = (await open(app, pathOf(side), side.human)).text;
    expect(before).toContain("Released money cannot be taken back.");
    expect(before).toContain("Not paid out before");
    const { answer, again } = await send(side, actOn(side, "release"));
    const approval = locationOf(answer);
    expect(locationOf(await again())).toBe(approval);
    expect(await countApprovals(side)).toBe(2);
    await confirm(approval, side);
    expect(await readMilestones(app, side)).toEqual(["PAID"]);
    const after = (await open(app, pathOf(side), side.human)).text;
    expect(after).toContain("<b>Paid out</b>");
    expect(after).toContain("Paid out once");
    expect(after).toContain("$450.00 USD");
  });

  test("ends a contract whose money is held, and each milestone is refunded", async () => {
    const side = await createEscrow(app, deps, { count: 2 });
    const question = await open(app, end(side), side.human);
    expect(question.text).toContain("$900.00 USD");
    const { answer, again } = await send(side, end(side), end(side));
    const approval = locationOf(answer);
    expect(locationOf(await again())).toBe(approval);
    expect((await open(app, pathOf(side), side.human)).text).toContain("The contract’s end is pending");
    await confirm(approval, side);
    expect(await readMilestones(app, side)).toEqual(["REFUNDED", "REFUNDED"]);
    const after = (await open(app, pathOf(side), side.human)).text;
    expect(after).toContain("<b>Refunded</b>");
    expect(after).toContain("Ended");
    expect(after).not.toContain('<form method="post" action="/contracts');
  });

  test("ends a contract without held money at once, and a second submit says that it has ended", async () => {
    const side = await begin();
    const { answer, again } = await send(side, end(side), end(side));
    const page = await open(app, locationOf(answer), side.human);
    expect(page.text).toContain("The contract has ended.");
    const second = await landing(app, await again(), side.human);
    expect(second.text).toContain("This contract has ended.");
    expect(await countApprovals(side)).toBe(0);
  });

  test.each(["fund", "release", "end"] as const)(
    "who submits %s several times at once makes one approval",
    async (act) => {
      const side = act === "fund" ? await begin() : await createEscrow(app, deps);
      const form = act === "end" ? end(side) : actOn(side, act);
      const before = await countApprovals(side);
      const page = await open(app, act === "end" ? form : pathOf(side), side.human);
      const fields = {
        account_id: hiddenValue(page, form, "account_id"),
        form_token: hiddenValue(page, form),
      };
      const answers = await Promise.all(
        Array.from({ length: 5 }, () => submit(app, form, fields, side.human)),
      );
      expect(new Set(answers.map(locationOf)).size).toBe(1);
      expect(await countApprovals(side)).toBe(before + 1);
    },
  );

  test("shares one pending approval with the agent that requested the same", async () => {
    const side = await begin();
    const { body } = await call(app, "POST", `/milestones/${side.fixture.milestone}/fund`, {
      token: side.fixture.token,
    });
    const page = (await open(app, pathOf(side), side.human)).text;
    expect(page).toContain(`/approvals/${body.approval.id}`);
    expect(await countApprovals(side)).toBe(1);
  });

  test("sees no API key of their own requests in the settings", async () => {
    const side = await begin();
    await send(side, actOn(side, "fund"));
    const { text } = await open(app, "/settings/keys", side.human);
    expect(text).not.toContain("member</code>");
    expect(text.match(/\/revoke"/g)).toHaveLength(1);
  });
});

describe("A contract's page says what is missing", () => {
  const rejected = async (side: Side, form: string, words: string) => {
    const page = await open(app, pathOf(side), side.human);
    const fields = { account_id: hiddenValue(page, form, "account_id"), form_token: hiddenValue(page, form) };
    return {
      submit: async () => {
        const answer = await submit(app, form, fields, side.human);
        expect(locationOf(answer)).toBe(`${pathOf(side)}?account=${accountKey(side.fixture.account)}`);
        const page = await landing(app, answer, side.human);
        expect(page.text).toContain(words);
        // Said once: a reload, or Back, shows the contract alone.
        const again = await open(app, pathOf(side), side.human);
        if (page.text.includes("Nothing was requested"))
          expect(again.text).not.toContain("Nothing was requested");
        return page;
      },
    };
  };

  test("without a card, with a link to billing", async () => {
    const side = await begin({ card: false });
    const { submit: ask } = await rejected(side, actOn(side, "fund"), "No card is on file.");
    expect((await ask()).text).toContain('<a href="/billing">');
    expect(await countApprovals(side)).toBe(0);
  });

  test("without a payout account, when money is to be released", async () => {
    const side = await createEscrow(app, deps);
    await setPayoutAccount(app, side.fixture, null);
    await (await rejected(side, actOn(side, "release"), "has no payout account yet")).submit();
  });

  test("in an account that was frozen meanwhile", async () => {
    const side = await begin();
    const { submit: ask } = await rejected(side, actOn(side, "fund"), "This account is frozen.");
    await operate(app, "PUT", `/accounts/${side.fixture.account}`, { frozen: true });
    await ask();
    expect((await open(app, pathOf(side), side.human)).text).not.toContain('/fund"');
    expect(await countApprovals(side)).toBe(0);
  });

  test("while all payments are paused", async () => {
    const side = await begin();
    const { submit: ask } = await rejected(side, actOn(side, "fund"), "All payments are paused");
    await operate(app, "PUT", "/pause", { paymentsPaused: true });
    try {
      await ask();
    } finally {
      await operate(app, "PUT", "/pause", { paymentsPaused: false });
    }
    expect(await countApprovals(side)).toBe(0);
  });

  test("under a contract that has ended meanwhile", async () => {
    const side = await begin();
    const { submit: ask } = await rejected(side, actOn(side, "fund"), "This contract has ended.");
    await operate(app, "PUT", `/accounts/${side.fixture.account}/contracts/${side.fixture.contract}`, {
      status: "ended",
    });
    await ask();
  });

  test("for a milestone that was funded meanwhile", async () => {
    const side = await begin();
    const { submit: ask } = await rejected(side, actOn(side, "fund"), "This milestone is funded already");
    const { answer } = await send(side, actOn(side, "fund"));
    await confirm(locationOf(answer), side);
    await ask();
    expect(await countApprovals(side)).toBe(1);
  });
});

describe("Who sees a contract", () => {
  test("A viewer sees it and finds no form on it", async () => {
    const side = await createEscrow(app, deps);
    const viewer = await createHuman(app, side.fixture.account, "viewer");
    const page = await open(app, pathOf(side), viewer);
    expect(page.text).toContain("Held in escrow");
    expect(page.text).not.toContain('action="/contracts');
    expect(page.text).not.toContain("End contract");
    expect((await open(app, end(side), viewer)).status).toBe(403);
  });

  test("An approver whose role became viewer meanwhile requests nothing with the page that they have open", async () => {
    const fixture = await createFixture(app);
    const side = { fixture, human: await createHuman(app, fixture.account, "approver") };
    const page = await open(app, pathOf(side), side.human);
    const form = actOn(side, "fund");
    const fields = { account_id: hiddenValue(page, form, "account_id"), form_token: hiddenValue(page, form) };
    await sql`update members set role = 'viewer' where id = ${side.human.memberId}`.execute(db);
    expect((await submit(app, form, fields, side.human)).status).toBe(403);
    expect(await countApprovals(side)).toBe(0);
  });

  test("A foreign contract and an unknown one are the same page", async () => {
    const side = await begin();
    const stranger = await begin();
    const sanitise = (text: string) => text.replaceAll(/value="[^"]*"/g, "");
    const foreign = await open(app, pathOf(side), stranger.human);
    const unknown = await open(app, "/contracts/nothing-here", stranger.human);
    const named = await open(app, `${pathOf(side)}?account=${side.accountId}`, stranger.human);
    for (const page of [foreign, unknown, named]) {
      expect(page.status).toBe(404);
      expect(sanitise(page.text)).toBe(sanitise(unknown.text));
    }
    expect((await open(app, end(side), stranger.human)).status).toBe(404);
    expect((await open(app, "/contracts", stranger.human)).text).not.toContain(side.fixture.contract);
  });

  test("A form with another account's id does nothing", async () => {
    const side = await begin();
    const stranger = await begin();
    const page = await open(app, pathOf(stranger), stranger.human);
    const form_token = hiddenValue(page, actOn(stranger, "fund"));
    const answer = await submit(
      app,
      actOn(side, "fund"),
      { account_id: side.accountId, form_token },
      stranger.human,
    );
    expect(answer.status).toBe(403);
    expect(await countApprovals(side)).toBe(0);
  });

  test("A person of two accounts with the same contract id opens each by its own link", async () => {
    const one = await begin();
    const two = await begin();
    const { account } = two.fixture;
    await operate(app, "PUT", `/accounts/${account}/contracts/${one.fixture.contract}`, {
      title: "The other one",
      jobId: "job-1",
      paymentType: "FIXED_PRICE",
      freelancer: { userId: "f2", displayName: "Noor" },
    });
    const { user_id } = await db
      .selectFrom("members")
      .where("id", "=", one.human.memberId)
      .select("user_id")
      .executeTakeFirstOrThrow();
    await sql`update members set user_id = ${user_id} where id = ${two.human.memberId}`.execute(db);
    const path = `${pathOf(one)}?account=`;
    expect((await open(app, path + one.accountId, one.human)).text).toContain("Street scenes");
    expect((await open(app, path + two.accountId, one.human)).text).toContain("The other one");
    const list = (await open(app, "/contracts", one.human)).text;
    expect(list).toContain(path + one.accountId);
    expect(list).toContain(path + two.accountId);
  });
});

test("The CSV of payments names each funding, payout and refund, and is of one's own account alone", async () => {
  const side = await createEscrow(app, deps, { count: 2 });
  const { fixture, human } = side;
  await operate(app, "PUT", `/accounts/${fixture.account}/contracts/${fixture.contract}`, {
    title: "=SUM(A1)",
  });
  await confirm(locationOf((await send(side, actOn(side, "release"))).answer), side);
  await confirm(locationOf((await send(side, end(side), end(side))).answer), side);
  const viewer = await createHuman(app, fixture.account, "viewer");
  const answer = await open(app, `/contracts.csv?account=${side.accountId}`, viewer);
  expect(answer.headers["content-type"]).toBe("text/csv; charset=utf-8");
  const lines = answer.text.trim().split("\r\n");
  expect(lines).toHaveLength(5);
  const kinds = lines.slice(1).map((line) => line.split(",").slice(1, 7).join(","));
  expect(kinds).toEqual([
    "refund,,refunded,450.00,USD,card",
    "payout,3,paid,450.00,USD,acct_1Maria",
    "funding,2,refunded,450.00,USD,visa 4242",
    "funding,1,paid,450.00,USD,visa 4242",
  ]);
  expect(answer.text).toContain("'=SUM(A1)");
  expect((await open(app, "/contracts.csv", human)).text).toBe(answer.text);
  const stranger = await begin();
  expect((await open(app, `/contracts.csv?account=${side.accountId}`, stranger.human)).status).toBe(404);
});

test("The list of contracts shows what is held and pending, and goes on where a page ends", async () => {
  const side = await createEscrow(app, deps);
  const { fixture, human } = side;
  await createMilestone(app, fixture, `${fixture.milestone}-more`);
  await call(app, "POST", `/milestones/${fixture.milestone}-more/fund`, { token: fixture.token });
  const first = (await open(app, "/contracts", human)).text;
  for (const words of ["Street scenes", "Maria G.", "$900.00 USD", "$450.00 USD", "1 pending approval"])
    expect(first).toContain(words);
  for (let i = 0; i < 50; i++)
    await operate(app, "PUT", `/accounts/${fixture.account}/contracts/more-${i}`, {
      title: `More ${i}`,
      jobId: "job-1",
      paymentType: "FIXED_PRICE",
      freelancer: { userId: "f2", displayName: "Noor" },
    });
  const page = (await open(app, "/contracts", human)).text;
  expect(page).not.toContain("Street scenes");
  const next = /href="(\/contracts\?after=[^"]+)"/.exec(page)?.[1] ?? "";
  expect(next).not.toBe("");
  const last = (await open(app, next, human)).text;
  expect(last).toContain("Street scenes");
  expect(last).not.toContain("Show older");
  expect((await open(app, "/contracts?after=nonsense", human)).text).toContain("More 49");
});
