import { sql } from "kysely";
import { expect, onTestFinished, test } from "vitest";
import { connect } from "../../src/database/connection.ts";
import { asAdmin, cloneDatabase } from "../support/clones.ts";
import { call } from "../support/fixtures.ts";
import { ownerOf } from "../support/owner.ts";
import { OPERATOR_KEY, startService } from "../support/service.ts";

test("a database that refuses to write is not ready, says why by its code, and is ready again at once after it", async () => {
  const { app, db } = await startService();
  const full = async () => {
    await sql`create function refuse_probe() returns trigger language plpgsql as
      $$ begin raise exception 'could not extend file "base/1/2": No space left on device' using errcode = '53100'; end $$`.execute(
      ownerOf(db),
    );
    await sql`create trigger full_disk before insert on write_probes for each row execute function refuse_probe()`.execute(
      ownerOf(db),
    );
  };
  await full();
  for (let times = 1; times <= 2; times++) {
    const { status, body } = await call(app, "GET", "/readyz");
    expect([status, body.code, body.error]).toEqual([
      503,
      "UNAVAILABLE",
      "The database takes no writes (53100).",
    ]);
  }
  expect((await call(app, "GET", "/livez")).status).toBe(200);
  const metrics = await call(app, "GET", "/metrics", { token: OPERATOR_KEY });
  // What can be read is shown all the same.
  for (const line of ["database_up 1", "database_writable 0", 'approvals{state="pending"} 0'])
    expect(metrics.text).toContain(`countersign_${line}\n`);
  await sql`drop trigger full_disk on write_probes`.execute(ownerOf(db));
  const { status, body } = await call(app, "GET", "/readyz");
  expect([status, body]).toEqual([200, { status: "ready", workSeenAt: null }]);
});

test("a disk that has no room for a sort is not ready, though small updates still fit", async () => {
  const url = await cloneDatabase();
  const { app } = await startService({}, url);
  const admin = connect(asAdmin(url), { size: 1, onIdleError: () => {} });
  onTestFinished(() => admin.close());
  const database = sql.id(new URL(url).pathname.slice(1));
  await sql`alter database ${database} set temp_file_limit = 0`.execute(admin.db);
  // Connections that are open keep the setting that they began with.
  await sql`select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()`.execute(admin.db);
  await expect
    .poll(async () => (await call(app, "GET", "/readyz")).body.error, { timeout: 30_000 })
    .toBe("The database takes no writes (53400).");
});
