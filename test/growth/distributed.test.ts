import { sql } from "kysely";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { asAdmin, cloneDatabase } from "../support/clones.ts";
import { startService } from "../support/service.ts";
import { growDatabase } from "./data.ts";
import { explainEverything, Recorder, type Work } from "./plans.ts";
import { playScenes } from "./scenes.ts";

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

/** What every statement of the scenes must be like where the accounts' tables are distributed by `account_id` (docs/scaling.md). */
const ROWS = 2_000;
let statements: string[] = [];
let tables: string[] = [];
/** Without what sweeps alone send, which may ask every node. */
let ofRequests: string[] = [];

beforeAll(async () => {
  const url = await cloneDatabase();
  const { token } = await growDatabase(asAdmin(url), ROWS);
  await explainEverything(url);
  const service = await startService({}, url);
  const recorder = new Recorder(service.connection);
  await playScenes({ service, recorder, token, n: ROWS });
  const textsOf = (works: readonly Work[]) => [
    ...new Set(works.map(({ text }) => text.toLowerCase().replaceAll('"', ""))),
  ];
  statements = textsOf(recorder.works);
  ofRequests = textsOf(recorder.works.filter(({ scene }) => !scene.startsWith("sweep")));
  const { rows } = await sql<{ name: string }>`
    select c.relname as name from pg_index i
    join pg_class c on c.oid = i.indrelid
    join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
    where i.indisprimary and a.attname = 'account_id' and c.relnamespace = 'public'::regnamespace`.execute(
    service.db,
  );
  tables = rows.map(({ name }) => name);
});

/** What is between a statement's brackets and begins with `select`, each without those within it. */
function subqueriesOf(text: string): string[] {
  const open: string[] = [];
  const found: string[] = [];
  for (const char of text) {
    if (char === "(") open.push("");
    else if (char === ")") {
      const own = open.pop() ?? "";
      if (/^\s*select\b/.test(own)) found.push(own);
    }
    if (char !== "(" && open.length > 0) open[open.length - 1] += char;
  }
  return found;
}

const about = (found: (text: string) => unknown) => statements.filter((text) => found(text));
const ofTable = (before: string) =>
  new RegExp(`${before}\\s+(?:only )?(?:public\\.)?(${tables.join("|")})\\b`);

describe("statements on the accounts' tables", () => {
  // What a step back of the clock made too long is shortened in all accounts at once.
  const shortensWaits = (text: string) => /make_interval\(secs => .* \+ \$\d\)/.test(text);

  test("name the account", () => {
    expect(statements.length).toBeGreaterThan(150);
    expect(
      about(
        (text) =>
          ofTable("(?:from|join|update|into)").test(text) &&
          !text.includes("account_id") &&
          !shortensWaits(text),
      ),
    ).toEqual([]);
  });

  test("join by the account's column, table by table", () => {
    const joins = new RegExp(
      `\\bjoin (${tables.join("|")})(?: as)? (\\w+) on (.*?)(?= (?:left |inner |cross )?join | where | order | group | limit |$)`,
      "g",
    );
    const wrong = statements.flatMap((text) =>
      [...text.matchAll(joins)]
        .filter(([, , alias, on = ""]) => {
          const equated = new RegExp(
            `\\b${alias}\\.account_id = (?!${alias}\\.)\\w+\\.account_id|\\w+\\.account_id = ${alias}\\.account_id`,
          );
          return !equated.test(on);
        })
        .map(([join]) => join),
    );
    expect(wrong).toEqual([]);
  });

  test("name the account by a parameter in each subquery, as a node is chosen by it", () => {
    expect(ofRequests.length).toBeGreaterThan(100);
    const wrong = ofRequests
      .filter((text) => /account_id = \$\d/.test(text))
      .flatMap((text) => subqueriesOf(text))
      .filter((own) => ofTable("(?:from|join)").test(own) && !/account_id = (?:any\()?\$\d/.test(own));
    expect(wrong).toEqual([]);
  });

  test("have no part that changes rows beside others: a cluster runs such parts one after the other", () => {
    const parts = /\bas (?:materialized )?\(\s*(?:insert|update|delete)/;
    expect(about((text) => parts.test(text) && ofTable("(?:into|update|from)").test(text))).toEqual([]);
  });

  test("take locks without a subquery", () => {
    const locks = about((text) =>
      /^select .* for (no key update|update|share)( of \w+)?( skip locked)?$/.test(text),
    );
    expect(locks.length).toBeGreaterThan(10);
    expect(locks.filter((text) => ofTable("from").test(text) && /\(\s*select|exists/.test(text))).toEqual([]);
  });

  test("change rows without a join to what is no table, and without a volatile function", () => {
    const changes = about((text) => ofTable("^(?:update|delete from)").test(text));
    expect(changes.length).toBeGreaterThan(20);
    expect(
      changes.filter((text) => /unnest\(|clock_timestamp|random\(|gen_random_uuid|nextval/.test(text)),
    ).toEqual([]);
    expect(changes.filter((text) => /(case|coalesce)\b[^)]*\bnow\(\)/.test(text))).toEqual([]);
  });

  test("insert rows whose account comes from values or from a column of their source", () => {
    const inserts = new RegExp(
      `^insert into (${tables.join("|")}) (?:as \\w+ )?\\(account_id[^)]*\\) select \\$`,
    );
    expect(about((text) => inserts.test(text))).toEqual([]);
  });
});
