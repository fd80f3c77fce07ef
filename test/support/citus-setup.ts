import type { TestProject } from "vitest/node";
import { distribute } from "../../src/database/distribute.ts";
import { createClusterDatabase } from "./citus.ts";
import { databaseUrl, dropDatabases, onlyOne, run } from "./clones.ts";
import { asRole, createRoles, OWNER } from "./roles.ts";

/** Few, as each clone copies the files of all. */
const SHARDS = 4;

/**
 * For the tests that run on a Citus cluster: a migrated and distributed template on all its nodes, which each file clones.
 * CITUS_DATABASE_URL leads a superuser to a database on the coordinator in which the cluster is set up.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const adminUrl = process.env.CITUS_DATABASE_URL ?? "";
  const template = `countersign_citus_${process.pid}`;
  const coordinator = databaseUrl(adminUrl, template);
  const all = await createClusterDatabase(adminUrl, template);
  await onlyOne(adminUrl, async () => {
    await createRoles(coordinator);
    // For tests that switch triggers off.
    await run(coordinator, `alter role ${OWNER} set citus.enable_unsafe_triggers to on`);
  });
  await distribute(asRole(coordinator, OWNER), SHARDS, () => {});
  // A database can be copied while nothing is connected to it, and a cluster's own processes connect to each.
  for (const url of all) {
    await run(url, `alter database ${template} allow_connections false`);
    await run(
      url,
      `select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = '${template}'`,
    );
  }
  project.provide("adminUrl", adminUrl);
  project.provide("workers", all.slice(1));
  project.provide("template", template);
  project.provide("poolerPort", undefined);
  return async () => {
    for (const url of all) await dropDatabases(url, template);
  };
}
