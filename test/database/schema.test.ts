import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { sql } from "kysely";
import { afterAll, expect, test } from "vitest";
import { connect, type Db } from "../../src/database/connection.ts";
import { asAdmin, cloneDatabase, emptyDatabase } from "../support/clones.ts";
import { type Column, describeSchema, listColumns } from "../support/schema.ts";

const DUMP = join(import.meta.dirname, "../../docs/schema.sql");
const TYPES = join(import.meta.dirname, "../../src/database/schema.ts");
const HEAD =
  "-- Generated from `migrations/` by `npm run docs`, to be read: the migrations create the database.\n\n";

const open: { db: Db; close(): Promise<void> }[] = [];
afterAll(() => Promise.all(open.map(({ close }) => close())));

function openDatabase(url: string): Db {
  const connection = connect(url, { size: 1, onIdleError: () => {} });
  open.push(connection);
  return connection.db;
}

const db = openDatabase(asAdmin(await cloneDatabase()));
const schema = await describeSchema(db);

test("docs/schema.sql is the schema that the migrations create: else run `npm run docs`", async () => {
  await expect(HEAD + schema).toMatchFileSnapshot(DUMP);
});

test("docs/schema.sql leaves nothing out: it creates the same schema in an empty database", async () => {
  const other = openDatabase(await emptyDatabase());
  await sql.raw(schema).execute(other);
  expect(await describeSchema(other)).toBe(schema);
});

/** What TypeScript knows of a column: its kind, whether it can be null, and whether an insert can leave it out. */
type Known = { kind: string; nullable: boolean; optional: boolean };

const KINDS: [RegExp, string][] = [
  [/^Json<|^ColumnType<[A-Z]\w+, string,/, "json"],
  [/\bDate\b/, "time"],
  [/\bBuffer\b/, "bytes"],
  [/\b(boolean|true)\b/, "boolean"],
  [/\bnumber\b|\b1 \| 2\b/, "number"],
  [/\bstring\[\]/, "texts"],
];
const KIND_OF_TYPE: Record<string, string> = {
  json: "json",
  jsonb: "json",
  "timestamp with time zone": "time",
  bytea: "bytes",
  boolean: "boolean",
  smallint: "number",
  integer: "number",
  bigint: "number",
  numeric: "number",
  "text[]": "texts",
  text: "text",
  uuid: "text",
};
/** rate-limiter-flexible reads and writes it. */
const UNTYPED = "auth.attempts";

/** The columns that `src/database/schema.ts` declares, by `table.column`. */
async function readTypes(): Promise<Map<string, Known>> {
  const source = (await readFile(TYPES, "utf8")).replaceAll(/^ *\/\*\*[\s\S]*?\*\/\n/gm, "");
  const body = /^export type Database = \{\n(.*?)\n\};$/ms.exec(source)?.[1];
  if (body === undefined) throw new Error("schema.ts declares no Database");
  const columns: [string, Known][] = [];
  let table: string | undefined;
  for (const line of body.split("\n")) {
    const [, opened] = /^ {2}"?([\w.]+)"?: \{$/.exec(line) ?? [];
    const [, name, what] = /^ {4}(\w+): (.+);$/.exec(line) ?? [];
    if (opened !== undefined) table = opened;
    else if (table !== undefined && name !== undefined && what !== undefined)
      columns.push([
        `${table}.${name}`,
        {
          kind: KINDS.find(([pattern]) => pattern.test(what))?.[1] ?? "text",
          nullable: /\| null(>|, |$)/.test(what),
          optional: /^Generated<|, never, never>$/.test(what),
        },
      ]);
    else if (line !== "  };") throw new Error(`neither a table nor a column in one line: ${line}`);
  }
  return new Map(columns);
}

test("src/database/schema.ts declares every column of the database with its type, and no other", async () => {
  const declared = await readTypes();
  const columns = (await listColumns(db)).filter(({ table }) => table !== UNTYPED);
  const show = (name: string, kind: string | undefined, nullable: boolean) =>
    `${name}: ${kind}${nullable ? " | null" : ""}`;
  const nameOf = ({ table, name }: Column) => `${table}.${name}`;
  expect(columns.length).toBeGreaterThan(500);
  expect([...declared].map(([name, { kind, nullable }]) => show(name, kind, nullable)).sort()).toEqual(
    columns.map((column) => show(nameOf(column), KIND_OF_TYPE[column.type], column.nullable)).sort(),
  );
  const required = columns.filter((column) => !column.nullable && column.default === null).map(nameOf);
  expect(required.filter((name) => declared.get(name)?.optional)).toEqual([]);
});
