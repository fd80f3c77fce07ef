import type { TestProject } from "vitest/node";
import { migrate } from "../../src/database/migrate.ts";
import { createDatabase, databaseUrl } from "./clones.ts";
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
  const template = `countersign_template_${process.pid}`;
  await createDatabase(postgres.adminUrl, template);
  await createRoles(databaseUrl(postgres.adminUrl, template));
  await migrate(asRole(databaseUrl(postgres.adminUrl, template), OWNER));
  project.provide("adminUrl", postgres.adminUrl);
  project.provide("template", template);
  console.log(`tests run on a Postgres that is ${postgres.kind}`);
  return () => postgres.stop();
}
