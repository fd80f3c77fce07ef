import pg from "pg";

/** The clock of one database, as a test sets it. */
export type TestClock = {
  /** Sets the clock this many seconds ahead of (or behind) the server's, for every statement from now on. */
  set(seconds: number): Promise<void>;
};

/**
 * Gives a database a clock that can be set: its own `now()` and `clock_timestamp()` stand in front of Postgres's on the
 * search path of every connection that is opened after this.
 */
export async function ownClock(url: string): Promise<TestClock> {
  const run = async (...statements: string[]): Promise<void> => {
    const client = new pg.Client({ connectionString: url });
    // It may break while nothing is asked.
    client.on("error", () => {});
    await client.connect();
    try {
      for (const statement of statements) await client.query(statement);
    } finally {
      await client.end();
    }
  };
  const name = new URL(url).pathname.slice(1);
  const shifted = (
    clock: string,
  ) => `create or replace function clock.${clock}() returns timestamptz language sql stable
    as $$ select pg_catalog.${clock}() + ahead from clock.setting $$`;
  await run(
    "create schema clock",
    "create table clock.setting (ahead interval not null)",
    "insert into clock.setting values ('0')",
    shifted("now"),
    shifted("clock_timestamp"),
    "grant usage on schema clock to public",
    "grant select on clock.setting to public",
    `alter database ${name} set search_path = clock, public, pg_catalog`,
  );
  return { set: (seconds) => run(`update clock.setting set ahead = make_interval(secs => ${seconds})`) };
}
