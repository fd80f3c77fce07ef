import type { TestProject } from "vitest/node";
import { RUNNING_ROLE } from "../../src/database/grants.ts";
import { migrate } from "../../src/database/migrate.ts";
import { createTurkishDatabase, databaseUrl, dropDatabases, onlyOne } from "./clones.ts";
import { startTestPostgres } from "./database.ts";
import { openPgbouncer, pgbouncerVersion } from "./pgbouncer.ts";
import { asRole, createRoles, OWNER } from "./roles.ts";

declare module "vitest" {
  interface ProvidedContext {
    adminUrl: string;
    /** The same of each worker, where tests run on a Citus cluster. */
    workers: readonly string[];
    template: string;
    /** Of the PgBouncer that stands between all tests and their databases, on loopback. */
    poolerPort: string | undefined;
  }
}

/** Fewer connections a database than tests that race have clients; those of finished files are closed soon. */
const POOLER = { max_client_conn: 2_000, default_pool_size: 20, server_idle_timeout: 5 };

/** One Postgres for the whole run, with a migrated template that each test file clones. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const postgres = await startTestPostgres();
  const { adminUrl } = postgres;
  const template = `countersign_test_${process.pid}`;
  await createTurkishDatabase(adminUrl, template);
  await onlyOne(adminUrl, () => createRoles(databaseUrl(adminUrl, template)));
  await migrate(asRole(databaseUrl(adminUrl, template), OWNER));
  project.provide("adminUrl", adminUrl);
  project.provide("workers", []);
  project.provide("template", template);
  const pooler = process.env.TEST_PGBOUNCER
    ? await openPgbouncer(asRole(databaseUrl(adminUrl, template), RUNNING_ROLE), POOLER)
    : undefined;
  project.provide("poolerPort", pooler && new URL(pooler.url).port);
  console.log(
    `tests run on a Postgres that is ${postgres.kind}${pooler ? `, behind PgBouncer ${pgbouncerVersion}` : ""}`,
  );
  console.log(
    process.env.CITUS_DATABASE_URL
      ? "the project `citus` runs on the cluster of CITUS_DATABASE_URL too"
      : "nothing runs on a Citus cluster, as CITUS_DATABASE_URL is not set",
  );
  return async () => {
    await pooler?.stop();
    if (postgres.kind === "given") await dropDatabases(adminUrl, template);
    await postgres.stop();
  };
}
