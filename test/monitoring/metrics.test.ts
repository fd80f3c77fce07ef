import { readFileSync } from "node:fs";
import { join } from "node:path";
import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { countInDoubt } from "../../src/billing/payment-service.ts";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { ALERTS } from "../../src/metrics/metrics.ts";
import { readApprovals, readFeed, readOpenPayments, readQueues } from "../../src/monitoring/gauges-store.ts";
import { expectRefusal } from "../http/expectations.ts";
import { call, createFixture, fund } from "../support/fixtures.ts";
import { ownerOf } from "../support/owner.ts";
import { tablesReadWhole } from "../support/plans.ts";
import { OPERATOR_KEY, PUBLIC_URL, startService } from "../support/service.ts";
import { confirmNow, createStories, type Story } from "../support/stories.ts";

const { app, db, config, connection } = await startService();
const deps = { db, config, processor: createSandbox(db, PUBLIC_URL) };

const scrape = async () => (await call(app, "GET", "/metrics", { token: OPERATOR_KEY })).text;
const seriesOf = (text: string) => text.split("\n").filter((line) => /^[a-z]/.test(line));
/** The value of a series; it begins with `name`. */
const countOf = (text: string, name: string) =>
  Number(
    seriesOf(text)
      .find((line) => line.startsWith(`${name} `))
      ?.slice(name.length) ?? Number.NaN,
  );

test("the metrics are for holders of the operator's key", async () => {
  expectRefusal(await call(app, "GET", "/metrics"), 401, "UNAUTHORIZED");
  expectRefusal(await call(app, "GET", "/metrics", { token: "wrong" }), 401, "UNAUTHORIZED");
  expect((await call(app, "GET", "/metrics", { token: OPERATOR_KEY })).status).toBe(200);
});

test("every metric is described, and each line has the text format", async () => {
  const text = await scrape();
  for (const line of text.split("\n").filter((one) => one !== "")) {
    expect(line).toMatch(
      /^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{([a-z_]+="[^"\\]*",?)+\})? (-?[\d.]+(e[+-]?\d+)?|\+Inf|NaN))$/,
    );
  }
  const described = new Set([...text.matchAll(/^# HELP (\w+) /gm)].map(([, name]) => name));
  for (const line of seriesOf(text)) {
    const name = line.match(/^\w+/)?.[0] ?? "";
    expect(described, line).toContain(described.has(name) ? name : name.replace(/_(bucket|sum|count)$/, ""));
  }
});

describe("labels", () => {
  test("hold no account, token, person, address or id, whatever was requested", async () => {
    const { account, contract, milestone, token } = await createFixture(app);
    const { approval } = (await fund(app, token, milestone)).body;
    await call(app, "GET", `/approvals/${approval.id}`, { token });
    await call(app, "POST", "/sign-in", {
      headers: {
        "content-type": "application/x-www-form-urlencoded",
        "sec-fetch-site": "same-origin",
        "x-forwarded-for": "203.0.113.9",
      },
      body: "email=ada%40example.com&password=wrong",
    });
    const text = await scrape();
    const known = [account, contract, milestone, token, approval.id, "ada", "203.0.113", "127.0.0.1"];
    for (const one of known) expect(text).not.toContain(one);
    expect(text).not.toMatch(/[0-9a-f]{8}-[0-9a-f]{4}-/);
  });

  test("do not grow with the addresses, methods, ids and tokens that are tried", async () => {
    const attack = async (round: number) => {
      for (let i = 0; i < 20; i++) {
        const path = `/${round}-${i}`;
        await call(app, "GET", path);
        await call(app, "GET", `/approvals${path}`, { token: `ot_pat_${round}${i}` });
        await call(app, "PUT", `/api/operator/v1/accounts/a-${round}-${i}`, {
          token: OPERATOR_KEY,
          body: {},
        });
        const method = (["PROPFIND", "LOCK", "REPORT", "OPTIONS"] as const)[i % 4];
        await app.inject({ method: method as "GET", url: path });
      }
    };
    await attack(0);
    const before = seriesOf(await scrape()).length;
    await attack(1);
    await attack(2);
    const text = await scrape();
    expect(seriesOf(text).length).toBe(before);
    expect(text).not.toMatch(/method="(PROPFIND|LOCK|REPORT|OPTIONS)"/);
    // Every route with every status that the files before this one have met in this process.
    expect(before).toBeLessThan(10_000);
  });
});

test("a request counts under its route's pattern and its status", async () => {
  const { milestone, token } = await createFixture(app);
  const series =
    'countersign_http_requests_total{method="POST",route="/milestones/:milestoneId/fund",status="202"}';
  const before = countOf(await scrape(), series) || 0;
  await fund(app, token, milestone);
  await fund(app, token, milestone);
  expect(countOf(await scrape(), series)).toBe(before + 2);
});

test("a payment and its decision count by what became of them", async () => {
  const succeeded = 'countersign_payment_steps_total{kind="charge",outcome="succeeded"}';
  const confirmed = 'countersign_approvals_ended_total{status="confirmed"}';
  const decided = 'countersign_approval_decision_seconds_count{decision="confirm"}';
  const read = async () => {
    const text = await scrape();
    return [succeeded, confirmed, decided].map((series) => countOf(text, series) || 0);
  };
  const before = await read();
  const { stories } = await createStories(app, "pm_card_visa", 1);
  await confirmNow(deps, stories[0] as Story);
  expect(await read()).toEqual(before.map((count) => count + 1));
});

test("a log line that needs a person counts under its name, and each name is explained", async () => {
  const logger = createLogger("error", { write: () => {} });
  const series = (alert: string) => `countersign_alerts_total{alert="${alert}"}`;
  const before = await scrape();
  logger.error({ alert: "payment_disputed" }, "a payment is disputed");
  logger.error({ alert: "acme" }, "not one of those");
  logger.error("no alert");
  const after = await scrape();
  const rise = (alert: string) => countOf(after, series(alert)) - (countOf(before, series(alert)) || 0);
  expect([rise("payment_disputed"), rise("other"), rise("payment_refunded")]).toEqual([1, 1, 0]);

  const explained = readFileSync(join(import.meta.dirname, "../../docs/stripe.md"), "utf8");
  for (const alert of ALERTS) expect(explained).toContain(`\`${alert}\``);
});

test("a payment in doubt shows with its age, and what waits shows in its queue", async () => {
  const own = await startService();
  const { stories } = await createStories(own.app, "pm_sandbox_timeout", 1);
  const [story] = stories as [Story];
  await confirmNow({ ...own, processor: createSandbox(own.db, PUBLIC_URL) }, story).catch(() => {});
  await sql`update payments set created_at = now() - interval '1 hour', due_at = now() - interval '2 minutes'
    where account_id = ${story.accountId}`.execute(ownerOf(own.db));
  const text = (await call(own.app, "GET", "/metrics", { token: OPERATOR_KEY })).text;
  expect(countOf(text, "countersign_payments_in_doubt")).toBe(1);
  expect(countOf(text, "countersign_payment_in_doubt_oldest_seconds")).toBeGreaterThanOrEqual(45 * 60);
  expect(countOf(text, 'countersign_payments_open{kind="charge",status="unknown"}')).toBe(1);
  expect(countOf(text, 'countersign_queue_due{queue="payments"}')).toBe(1);
  expect(countOf(text, 'countersign_queue_oldest_due_seconds{queue="payments"}')).toBeGreaterThanOrEqual(120);
  expect(countOf(text, 'countersign_approvals{state="executing"}')).toBe(1);
  expect(countOf(text, "countersign_database_up")).toBe(1);
  expect(countOf(text, "countersign_database_writable")).toBe(1);
});

test("what is read from the database is found by an index, however much there is", async () => {
  // One row each, or as many as people decide at once.
  const small = [
    "operator_head",
    "operator_webhook",
    "operator_outbox",
    "executing_milestones",
    "payment_pause",
  ];
  for (const read of [readQueues, readApprovals, readOpenPayments, readFeed, countInDoubt]) {
    const whole = await tablesReadWhole(connection, read);
    expect(
      whole.filter((table) => !small.includes(table)),
      read.name,
    ).toEqual([]);
  }
});
