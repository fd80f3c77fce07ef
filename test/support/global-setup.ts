import type { TestProject } from "vitest/node";
import { migrate } from "../../src/database/migrate.ts";
import { createDatabase, databaseUrl, dropDatabases, onlyOne } from "./clones.ts";
import { startTestPostgres } from "./database.ts";
import { asRole, createRoles, OWNER } from "./roles.ts";

declare module "vitest" {
  interface ProvidedContext {
    adminUrl: string;
    template: string;
  }
}

/** One Postgres for the whole run, with a migrated template that each test file clones. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const postgres = await startTestPostgres();
  const { adminUrl } = postgres;
  const template = `countersign_test_${process.pid}`;
  await createDatabase(adminUrl, template);
  await onlyOne(adminUrl, () => createRoles(databaseUrl(adminUrl, template)));
  await migrate(asRole(databaseUrl(adminUrl, template), OWNER));
  project.provide("adminUrl", adminUrl);
  project.provide("template", template);
  console.log(`tests run on a Postgres that is ${postgres.kind}`);
  return async () => {
    if (postgres.kind === "given") await dropDatabases(adminUrl, template);
    await postgres.stop();
  };
}
