import { sql } from "kysely";
import pg from "pg";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import { createApp } from "../../src/app/app.ts";
import { createLogger } from "../../src/app/logger.ts";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { connect } from "../../src/database/connection.ts";
import { cloneDatabase, directUrl } from "../support/clones.ts";
import { type Answer, call, createFixture, fund } from "../support/fixtures.ts";
import { startService } from "../support/service.ts";
import { createWorld, insertExpired } from "./world.ts";

const url = await cloneDatabase();
const service = await startService({}, url);
// A second app on a pool of one connection, so that what Postgres holds prepared can be looked at.
const single = connect(directUrl(url), {
  size: 1,
  statementTimeout: 5_000,
  lockTimeout: 3_000,
  onIdleError: () => {},
});
const app = await createApp({
  ...service,
  db: single.db,
  processor: createSandbox(single.db, "http://localhost:3000"),
  logger: createLogger("silent"),
});
afterAll(async () => {
  await app.close();
  await single.close();
});
afterEach(() => vi.restoreAllMocks());

type Statement = { name: string | undefined; text: string };

/** Every statement that pg sends while `work` runs; each is one round trip. */
async function listStatements(work: () => Promise<Answer>): Promise<{ answer: Answer; sent: Statement[] }> {
  const sent: Statement[] = [];
  const query = pg.Client.prototype.query as (...args: unknown[]) => unknown;
  vi.spyOn(pg.Client.prototype, "query").mockImplementation(function (this: pg.Client, ...args: unknown[]) {
    const [config] = args as [string | { name?: string; text: string }];
    sent.push(
      typeof config === "string"
        ? { name: undefined, text: config }
        : { name: config.name, text: config.text },
    );
    return query.apply(this, args) as never;
  });
  const answer = await work();
  vi.restoreAllMocks();
  return { answer, sent };
}

const verbs = (sent: readonly Statement[]) => sent.map(({ text }) => text.trim().split(/\s+/, 1)[0]);

describe("on an idle service", () => {
  test("a new fund request costs two round trips, a repeat one, and neither opens a transaction", async () => {
    const { token, milestone } = await createFixture(service.app);
    const first = await listStatements(() => fund(app, token, milestone));
    const repeat = await listStatements(() => fund(app, token, milestone));

    expect([first.answer.status, repeat.answer.status]).toEqual([202, 202]);
    expect(verbs(first.sent)).toEqual(["select", "insert"]);
    expect(verbs(repeat.sent)).toEqual(["select"]);
  });

  test("a fund request that is refused costs one round trip, whatever the reason", async () => {
    const fixture = await createFixture(service.app, { card: false });
    const other = await createFixture(service.app, { features: {} });
    const reader = await createFixture(service.app, { scopes: ["payments:read"] });
    const refusals = [
      [409, fixture.token, fixture.milestone],
      [404, fixture.token, other.milestone],
      [404, fixture.token, "not an id"],
      [403, other.token, other.milestone],
      [403, reader.token, reader.milestone],
      [401, `${fixture.token.slice(0, -43)}${"A".repeat(21)}${fixture.token.slice(-22)}`, fixture.milestone],
    ] as const;
    for (const [status, token, milestone] of refusals) {
      const { answer, sent } = await listStatements(() => fund(app, token, encodeURIComponent(milestone)));
      expect([answer.status, verbs(sent)]).toEqual([status, ["select"]]);
    }
  });

  test("reading an approval costs one round trip, pending or unknown; one that expired unswept waits for a decision", async () => {
    const { token, milestone } = await createFixture(service.app);
    const { body } = await fund(app, token, milestone);
    const world = await createWorld(service.db, { milestones: 1 });
    const [expired] = await insertExpired(service.db, world);
    const reads = [
      [200, token, body.approval.id, ["select"]],
      [200, world.token, expired, ["select", "select", "select"]],
      [404, world.token, body.approval.id, ["select"]],
      [404, token, "no-uuid", ["select"]],
    ] as const;
    for (const [status, bearer, id, statements] of reads) {
      const { answer, sent } = await listStatements(() =>
        call(app, "GET", `/approvals/${id}`, { token: bearer }),
      );
      expect([answer.status, verbs(sent)]).toEqual([status, statements]);
    }
  });

  test("a missing or malformed token is refused without asking the database", async () => {
    const { token, milestone } = await createFixture(service.app);
    const malformed = [
      undefined,
      "",
      "nonsense",
      token.slice(0, -1),
      `${token}A`,
      token.replace("ot_pat_", "ot_cat_"),
    ];
    for (const bad of malformed) {
      const { answer, sent } = await listStatements(() =>
        call(app, "POST", `/milestones/${milestone}/fund`, bad === undefined ? {} : { token: bad }),
      );
      expect([answer.status, sent]).toEqual([401, []]);
    }
  });

  test("every statement of these paths is named, and Postgres has it prepared for the next request", async () => {
    const { token, milestone } = await createFixture(service.app);
    const round = async (): Promise<Statement[]> => {
      const asked = await listStatements(() => fund(app, token, milestone));
      const read = await listStatements(() =>
        call(app, "GET", `/approvals/${asked.answer.body.approval.id}`, { token }),
      );
      return [...asked.sent, ...read.sent];
    };
    const sent = [...(await round()), ...(await round())];
    const names = sent.map(({ name }) => name);
    expect(names).not.toContain(undefined);
    expect(new Set(names).size).toBe(3);

    const prepared = async () => {
      const { rows } = await sql<{ name: string; uses: number }>`
        select name, generic_plans + custom_plans as uses from pg_prepared_statements
        where name = any(${names}::text[]) order by name`.execute(single.db);
      return rows;
    };
    const before = await prepared();
    expect(before.map(({ name }) => name)).toEqual([...new Set(names)].sort());
    await fund(app, token, milestone);
    const after = await prepared();
    const [readFunding] = names;
    expect(after.map(({ name, uses }) => [name, uses])).toEqual(
      before.map(({ name, uses }) => [name, name === readFunding ? uses + 1 : uses]),
    );
  });
});
