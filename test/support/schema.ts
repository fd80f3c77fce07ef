import { sql } from "kysely";
import type { Db } from "../../src/database/connection.ts";

const SCHEMAS = sql`('public'::regnamespace, 'auth'::regnamespace, 'sandbox'::regnamespace)`;
/** Kysely's own tables. */
const KYSELYS = sql`('kysely_migration', 'kysely_migration_lock')`;

export type Column = {
  /** With its schema, unless that is `public`. */
  table: string;
  name: string;
  type: string;
  nullable: boolean;
  /** An expression, or `identity`; null: none. */
  default: string | null;
  /** Computed from the row by the default's expression. */
  computed: boolean;
};

/** The columns of the tables that the migrations create, in the order in which a table declares them. */
export async function listColumns(db: Db): Promise<Column[]> {
  const { rows } = await sql<Column>`
    select c.oid::regclass::text as table, a.attname as name, format_type(a.atttypid, a.atttypmod) as type,
      not a.attnotnull as nullable, a.attgenerated <> '' as computed,
      case when a.attidentity <> '' then 'identity' else pg_get_expr(d.adbin, d.adrelid, true) end as default
    from pg_class c join pg_attribute a on a.attrelid = c.oid
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where c.relnamespace in ${SCHEMAS} and c.relkind = 'r' and c.relname not in ${KYSELYS}
      and a.attnum > 0 and not a.attisdropped
    order by a.attrelid, a.attnum`.execute(db);
  return rows;
}

/**
 * SQL that creates the schema as it is, in the order in which the migrations create it. The text depends on them alone:
 * Postgres 15 to 18 print it alike.
 */
export async function describeSchema(db: Db): Promise<string> {
  const columns = Map.groupBy(await listColumns(db), ({ table }) => table);
  const constraints = Map.groupBy(await listConstraints(db), ({ table }) => table);
  const objects = await sql<{ table: string | null; text: string }>`
    select null as table, oid, 'create schema ' || nspname as text
    from pg_namespace where oid in ${SCHEMAS} and nspname <> 'public'
    union all
    select null, oid, trim(trailing E'\n' from pg_get_functiondef(oid)) from pg_proc where pronamespace in ${SCHEMAS}
    union all
    select oid::regclass::text, oid, case relpersistence when 'u' then 'create unlogged table ' else 'create table ' end
    from pg_class where relnamespace in ${SCHEMAS} and relkind = 'r' and relname not in ${KYSELYS}
    union all
    select null, oid, 'create sequence ' || oid::regclass
    from pg_class c where relnamespace in ${SCHEMAS} and relkind = 'S'
      and not exists (select from pg_depend where objid = c.oid and deptype = 'i')
    union all
    select null, indexrelid, pg_get_indexdef(indexrelid, 0, true)
    from pg_index i join pg_class c on c.oid = i.indexrelid
    where c.relnamespace in ${SCHEMAS} and not exists (select from pg_constraint where conindid = i.indexrelid)
    union all
    select null, oid, pg_get_triggerdef(oid, true) from pg_trigger where not tgisinternal
    order by oid`.execute(db);
  const statements = objects.rows.map(({ table, text }) => {
    if (table === null) return text;
    const lines = [
      ...(columns.get(table) ?? []).map(describeColumn),
      ...(constraints.get(table) ?? []).map((constraint) => constraint.text),
    ];
    return `${text}${table} (\n  ${lines.join(",\n  ")}\n)`;
  });
  return statements.map((statement) => `${statement};\n`).join("\n");
}

/** The keys, references and checks of each table, by kind and name. */
async function listConstraints(db: Db): Promise<{ table: string; text: string }[]> {
  // Postgres 18 lists NOT NULL among the constraints.
  const { rows } = await sql<{ table: string; text: string }>`
    select conrelid::regclass::text as table, 'constraint ' || conname || ' ' || pg_get_constraintdef(oid, true) as text
    from pg_constraint where connamespace in ${SCHEMAS} and contype <> 'n'
    order by array_position('{p,u,f,c}', contype::text), conname`.execute(db);
  return rows;
}

function describeColumn(column: Column): string {
  const parts = [column.name, column.type];
  if (column.computed) parts.push(`generated always as (${column.default}) stored`);
  else if (column.default === "identity") parts.push("generated always as identity");
  else if (column.default !== null) parts.push(`default ${column.default}`);
  if (!column.nullable) parts.push("not null");
  return parts.join(" ");
}
