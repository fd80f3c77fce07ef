import { readFile } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";
import { RUNNING_ROLE } from "../../src/database/grants.ts";
import { ROLE_SETTINGS } from "../../src/database/settings.ts";

/** As `src/database/roles.sql` names it. */
export const OWNER = "countersign_owner";
const PASSWORD = "of-the-tests";
const FILE = join(import.meta.dirname, "../../src/database/roles.sql");

/** Makes both roles as an operator does, on the database at `url`, which must be a superuser's. */
export async function createRoles(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(await readFile(FILE, "utf8"));
    for (const role of [OWNER, RUNNING_ROLE]) await client.query(`alter role ${role} password '${PASSWORD}'`);
    // A start does this for its own database; here it is done once for all clones.
    for (const [name, value] of Object.entries(ROLE_SETTINGS)) {
      await client.query(`alter role ${RUNNING_ROLE} set ${name} = '${value}'`);
    }
    // For tests that arrange what no trigger allows.
    await client.query(`grant set on parameter session_replication_role to ${OWNER}`);
  } finally {
    await client.end();
  }
}

/** The same database as another role. */
export function asRole(url: string, role: string): string {
  const changed = new URL(url);
  changed.username = role;
  changed.password = PASSWORD;
  return changed.href;
}
