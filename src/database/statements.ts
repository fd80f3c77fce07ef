import { CompiledQuery } from "kysely";
import { inBatches } from "./batches.ts";
import type { Db } from "./connection.ts";
import { isDistributed } from "./distribution.ts";

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
 * @param shared a parameter that all requests have alike: it stands in the text by itself
 */
export function statementForMany<P extends Parameters, Row>(
  parameters: P,
  text: (names: Names<P>, requests: string) => string,
  shared?: keyof P & string,
): (db: Db, requests: readonly Values<P>[]) => Promise<Row[]> {
  const keys = Object.keys(parameters).filter((key) => key !== shared);
  // Read by a subquery, so that Postgres plans for as many requests as it always assumes, and keeps the plan: it would
  // else plan each short batch again, which takes longer than the batch.
  const arrays = keys.map((key, i) => `(select $${i + 1}::${parameters[key]}[])`);
  const columns = keys.map((key) => `"${key}"`);
  const table = `unnest(${arrays.join(", ")}) with ordinality as r (${columns.join(", ")}, position)`;
  const compiled = text(
    toNames(parameters, (key) => (key === shared ? `$${keys.length + 1}::${parameters[key]}` : `r."${key}"`)),
    table,
  );
  return async (db, requests) => {
    const lists: unknown[] = keys.map((key) => requests.map((values) => values[key]));
    const query = CompiledQuery.raw(
      compiled,
      shared === undefined ? lists : [...lists, requests[0]?.[shared]],
    );
    return (await db.executeQuery<Row>(query)).rows;
  };
}

/**
 * A read that takes no lock, and that requests send together when they meet (`inBatches`): all of them, or, where the accounts are
 * distributed, those of one account.
 */
export function batchedRead<P extends Parameters & { accountId: string }, Row>(
  parameters: P,
  text: (names: Names<P>) => string,
): (db: Db, values: Values<P>) => Promise<Row[]> {
  const alone = statementForOne<P, Row>(parameters, text);
  const lateral = (names: Names<P>, requests: string) =>
    `select r.position, x.* from ${requests} cross join lateral (${text(names)}) x`;
  const many = statementForMany<P, Row & { position: number }>(parameters, lateral);
  const manyOfOne = statementForMany<P, Row & { position: number }>(parameters, lateral, "accountId");
  return inBatches<Values<P>, Row[]>({
    alone,
    async together(db, requests) {
      const [only, ...others] = requests;
      if (only !== undefined && others.length === 0) return [await alone(db, only)];
      const answers: Row[][] = requests.map(() => []);
      const read = isDistributed(db) ? manyOfOne : many;
      for (const row of await read(db, requests)) answers[row.position - 1]?.push(row);
      return answers;
    },
    fits: (db, first, request) => !isDistributed(db) || first.accountId === request.accountId,
  });
}

function toNames<P extends Parameters>(parameters: P, name: (key: string, i: number) => string): Names<P> {
  const entries = Object.keys(parameters).map((key, i) => [key, name(key, i)]);
  return Object.fromEntries(entries) as Names<P>;
}
