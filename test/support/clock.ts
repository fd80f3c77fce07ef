import pg from "pg";

/** The clock of one database, as a test sets it. */
export type TestClock = {
  /** Sets the clock this many seconds ahead of (or behind) the server's, for every statement from now on. */
  set(seconds: number): Promise<void>;
};

/**
 * Gives a database a clock that can be set: its own `now()` and `clock_timestamp()` take the place of Postgres's, under
 * their very names, for every connection that is opened after this, whatever its role and its search path.
 * @param url a superuser's
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
  const shifted = (clock: string) => [
    `alter function pg_catalog.${clock}() rename to server_${clock}`,
    `create function pg_catalog.${clock}() returns timestamptz language sql stable
      as $$ select pg_catalog.server_${clock}() + ahead from clock.setting $$`,
  ];
  await run(
    "create schema clock",
    "create table clock.setting (ahead interval not null)",
    "insert into clock.setting values ('0')",
    "grant usage on schema clock to public",
    "grant select on clock.setting to public",
    ...shifted("now"),
    ...shifted("clock_timestamp"),
  );
  return { set: (seconds) => run(`update clock.setting set ahead = make_interval(secs => ${seconds})`) };
}
