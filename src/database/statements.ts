import { CompiledQuery } from "kysely";
import { inBatches } from "./batches.ts";
import type { Db } from "./connection.ts";

/** What a statement takes: each parameter's name, with the type that Postgres has for it. */
type Parameters = Readonly<Record<string, string>>;
type Values<P extends Parameters> = { readonly [K in keyof P]: unknown };
/** What stands in a statement's text for each of its parameters. */
type Names<P extends Parameters> = { readonly [K in keyof P]: string };

/** A statement for one request. Its text is built once: building it for each costs more than Postgres takes to answer. */
export function statementForOne<P extends Parameters, Row>(
  parameters: P,
  text: (names: Names<P>) => string,
): (db: Db, values: Values<P>) => Promise<Row[]> {
  const keys = Object.keys(parameters);
  const compiled = text(toNames(parameters, (key, i) => `$${i + 1}::${parameters[key]}`));
  return async (db, values) => {
    const query = CompiledQuery.raw(
      compiled,
      keys.map((key) => values[key]),
    );
    return (await db.executeQuery<Row>(query)).rows;
  };
}

/**
 * A statement for many requests at once.
 * @param text joins LATERAL to `requests`, a table with a row for each request, in their order; its `r.position` counts from 1.
 * Joined flat, Postgres once began with the other tables.
 */
export function statementForMany<P extends Parameters, Row>(
  parameters: P,
  text: (names: Names<P>, requests: string) => string,
): (db: Db, requests: readonly Values<P>[]) => Promise<Row[]> {
  const keys = Object.keys(parameters);
  // Read by a subquery, so that Postgres plans for as many requests as it always assumes, and keeps the plan: it would
  // else plan each short batch again, which takes longer than the batch.
  const arrays = keys.map((key, i) => `(select $${i + 1}::${parameters[key]}[])`);
  const columns = keys.map((key) => `"${key}"`);
  const table = `unnest(${arrays.join(", ")}) with ordinality as r (${columns.join(", ")}, position)`;
  const compiled = text(
    toNames(parameters, (key) => `r."${key}"`),
    table,
  );
  return async (db, requests) => {
    const query = CompiledQuery.raw(
      compiled,
      keys.map((key) => requests.map((values) => values[key])),
    );
    return (await db.executeQuery<Row>(query)).rows;
  };
}

/** A read that takes no lock, and that requests send together when they meet (`inBatches`). */
export function batchedRead<P extends Parameters, Row>(
  parameters: P,
  text: (names: Names<P>) => string,
): (db: Db, values: Values<P>) => Promise<Row[]> {
  const alone = statementForOne<P, Row>(parameters, text);
  const many = statementForMany<P, Row & { position: number }>(
    parameters,
    (names, requests) => `select r.position, x.* from ${requests} cross join lateral (${text(names)}) x`,
  );
  return inBatches<Values<P>, Row[]>({
    alone,
    async together(db, requests) {
      const [only, ...others] = requests;
      if (only !== undefined && others.length === 0) return [await alone(db, only)];
      const answers: Row[][] = requests.map(() => []);
      for (const row of await many(db, requests)) answers[row.position - 1]?.push(row);
      return answers;
    },
  });
}

function toNames<P extends Parameters>(parameters: P, name: (key: string, i: number) => string): Names<P> {
  const entries = Object.keys(parameters).map((key, i) => [key, name(key, i)]);
  return Object.fromEntries(entries) as Names<P>;
}
