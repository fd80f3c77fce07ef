import { hash } from "node:crypto";
import {
  CompiledQuery,
  type DatabaseConnection,
  type Driver,
  Kysely,
  PostgresDialect,
  Transaction,
} from "kysely";
import pg from "pg";
import { parseExactJson } from "../lib/exact-json.ts";
import { observePoolWait } from "../metrics/metrics.ts";
import { isTraced, traced } from "../metrics/tracing.ts";
import { SettledClient } from "./client.ts";
import type { Database } from "./schema.ts";

/** Anything that statements can be sent through: the pool, or a transaction. */
export type Db = Kysely<Database>;
/** A transaction; functions that take one cannot be called outside it. */
export type Trx = Transaction<Database>;

export type Connection = {
  db: Db;
  pool: pg.Pool;
  close(): Promise<void>;
};

export type ConnectionOptions = {
  /** Connections at most. */
  size: number;
  /**
   * Milliseconds after which Postgres ends a statement, and gives up waiting for a lock, where they are not to be the
   * role's (`settings.ts`). Needs a direct way to Postgres: poolers refuse or drop them.
   */
  statementTimeout?: number;
  lockTimeout?: number;
  /** Milliseconds to wait for a connection; 3 s if absent. */
  connectTimeout?: number;
  /** Told when an idle connection breaks; the pool replaces it by itself. */
  onIdleError: (error: Error) => void;
};

/** What `pg_stat_activity` calls the service's connections. */
export const APPLICATION = "countersign";
/** Postgres ends a statement of the running role that takes longer, in milliseconds. */
export const STATEMENT_TIMEOUT = 5_000;
const CONNECT_TIMEOUT = 3_000;
/** How much longer than Postgres itself we wait for an answer before we take the connection for dead. */
const ANSWER_GRACE = 500;
const NO_ANSWER = "Query read timeout";
const INT8 = 20;
const NUMERIC = 1700;
const JSON_TEXT = 114;

const types: pg.CustomTypesConfig = {
  getTypeParser: (oid: number, format?: "text" | "binary") => {
    // Every bigint and numeric of ours (cents, event numbers, volumes) is exact in a double.
    if (oid === INT8 || oid === NUMERIC) return Number;
    // `json` keeps what others wrote, `jsonb` what we wrote ourselves.
    return oid === JSON_TEXT ? parseExactJson : pg.types.getTypeParser(oid, format as "text");
  },
};

const statementNames = new Map<string, string>();

function statementName(text: string): string {
  let name = statementNames.get(text);
  if (name === undefined) {
    name = hash("sha256", text, "hex").slice(0, 32);
    statementNames.set(text, name);
  }
  return name;
}

/**
 * Names every parametrised statement by a hash of its text, so that Postgres parses and plans it once a
 * connection: reads become 1.7–2.5 times as many a second (pool of 10, three joins by key).
 */
class NamedStatementClient extends SettledClient {
  // biome-ignore lint/suspicious/noExplicitAny: pg declares nine overloads; Kysely calls the one handled here
  override query(text: any, values?: any, callback?: any): any {
    const answer: Promise<unknown> | undefined =
      isTraced() && typeof text === "string" && callback === undefined
        ? traced(`pg ${verbOf(text)}`, { "db.system.name": "postgresql", "db.query.text": text }, () =>
            this.#send(text, values),
          )
        : this.#send(text, values, callback);
    // The database's machine may be gone: the next user of this connection would wait as long.
    answer?.catch?.((error: Error) => {
      if (error.message === NO_ANSWER) void this.end();
    });
    return answer;
  }

  // biome-ignore lint/suspicious/noExplicitAny: as above
  #send(text: any, values?: any, callback?: any): any {
    const named = typeof text === "string" && Array.isArray(values) && values.length > 0;
    return named
      ? super.query({ name: statementName(text), text, values }, callback)
      : super.query(text, values, callback);
  }
}

/** A statement's first word. */
function verbOf(text: string): string {
  return /\w+/.exec(text)?.[0]?.toUpperCase() ?? "";
}

/** A dialect whose driver transactions are begun and ended with. */
class OneDriverDialect extends PostgresDialect {
  readonly driver: Driver = super.createDriver();

  override createDriver(): Driver {
    return this.driver;
  }
}

const dialects = new WeakMap<Db, OneDriverDialect>();

/**
 * Runs `work` in a transaction of its own. Kysely's own `transaction()` sends a statement once the one before is answered;
 * in this one, statements that are sent at once share a round trip, as do the begin and `first`.
 * @param first a statement without parameters
 */
export function transact<Row, T>(
  db: Db,
  first: string,
  work: (trx: Trx, rows: readonly Row[]) => Promise<T>,
): Promise<T> {
  const dialect = dialects.get(db);
  if (dialect === undefined) throw new TypeError("transactions need a database that `connect` has opened");
  const executor = db.getExecutor();
  const { driver } = dialect;
  return executor.provideConnection(async (connection) => {
    let open = true;
    const provideConnection = async <R>(consumer: (of: DatabaseConnection) => Promise<R>): Promise<R> => {
      if (!open) throw new TypeError("the transaction has ended");
      return consumer(connection);
    };
    const own = executor.withConnectionProvider({ provideConnection });
    const trx = new Transaction<Database>({ config: { dialect }, dialect, driver, executor: own });
    try {
      const begun = driver.beginTransaction(connection, { isolationLevel: "read committed" });
      const answer = connection.executeQuery<Row>(CompiledQuery.raw(first));
      await Promise.allSettled([begun, answer]);
      await begun;
      const result = await work(trx, (await answer).rows);
      open = false;
      await driver.commitTransaction(connection);
      return result;
    } catch (error) {
      open = false;
      // A connection that cannot roll back is discarded.
      await driver.rollbackTransaction(connection).catch(() => {});
      throw error;
    }
  });
}

/** Measures how long callers wait where no connection is free. */
class MeasuredPool extends pg.Pool {
  // biome-ignore lint/suspicious/noExplicitAny: pg declares a promise or a callback; Kysely takes the promise
  override connect(callback?: any): any {
    if (callback !== undefined || this.idleCount > 0 || this.totalCount < this.options.max)
      return super.connect(callback);
    const began = performance.now();
    const settled = () => observePoolWait((performance.now() - began) / 1_000);
    const connecting: Promise<pg.PoolClient> = super.connect();
    connecting.then(settled, settled);
    return connecting;
  }
}

/** Opens a pool on `url`. Nothing is sent until the first statement. */
export function connect(url: string, options: ConnectionOptions): Connection {
  const { statementTimeout, lockTimeout } = options;
  const pool = new MeasuredPool({
    Client: NamedStatementClient,
    connectionString: url,
    max: options.size,
    connectionTimeoutMillis: options.connectTimeout ?? CONNECT_TIMEOUT,
    query_timeout: (statementTimeout ?? STATEMENT_TIMEOUT) + ANSWER_GRACE,
    ...(statementTimeout === undefined ? {} : { statement_timeout: statementTimeout }),
    ...(lockTimeout === undefined ? {} : { lock_timeout: lockTimeout }),
    application_name: APPLICATION,
    keepAlive: true,
    // Statements that are sent before the one before is answered share a round trip (`together`).
    pipeline: true,
    types,
  });
  pool.on("error", options.onIdleError);
  pool.on("connect", (client) => client.on("error", options.onIdleError));
  const dialect = new OneDriverDialect({ pool });
  const db = new Kysely<Database>({ dialect });
  dialects.set(db, dialect);
  return { db, pool, close: () => db.destroy() };
}
