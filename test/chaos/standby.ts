import { execFile } from "node:child_process";
import { appendFile, chown, mkdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";
import type { EmbeddedPostgres } from "../../src/database/embedded.ts";

/**
 * Copies a running server's folder as a base backup (the package has no pg_basebackup), set up to follow it.
 * @param source an address of the server, by which the copy follows it
 */
export async function copyAsStandby(
  { url }: EmbeddedPostgres,
  from: string,
  to: string,
  source: string,
): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => {});
  await client.connect();
  try {
    await mkdir(to, { mode: 0o711 });
    await client.query("select pg_backup_start('standby', true)");
    // What vanishes while it is copied is in the log that the standby reads.
    await run("cp", ["-a", join(from, "postgres"), join(from, "postgres-password"), to]);
    const { rows } = await client.query<{ labelfile: string }>(
      "select labelfile from pg_backup_stop(wait_for_archive => false)",
    );
    const data = join(to, "postgres");
    for (const left of ["postmaster.pid", "postmaster.opts", "standby.signal"])
      await rm(join(data, left), { force: true });
    await writeFile(join(data, "backup_label"), rows[0]?.labelfile ?? "");
    await writeFile(join(data, "standby.signal"), "");
    const { hostname, port, username, password } = new URL(source);
    const connection = `host=${hostname} port=${port} user=${username} password=${password}`;
    await appendFile(
      join(data, "postgresql.auto.conf"),
      `primary_conninfo = '${connection}'\nsynchronous_standby_names = ''\n`,
    );
    const owner = await stat(join(data, "PG_VERSION"));
    for (const name of ["backup_label", "standby.signal"])
      await chown(join(data, name), owner.uid, owner.gid);
  } finally {
    await client.end();
  }
}

function run(command: string, args: string[]): Promise<void> {
  return new Promise((resolve) => execFile(command, args, () => resolve()));
}

async function query<Row extends pg.QueryResultRow>(url: string, text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => {});
  await client.connect();
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end();
  }
}

/** Whether a standby follows this server and has all that it has. */
export async function isStreaming(url: string): Promise<boolean> {
  const [row] = await query<{ streams: boolean }>(
    url,
    "select exists (select from pg_stat_replication where state = 'streaming') as streams",
  );
  return row?.streams === true;
}

/** Has every commit wait for a standby, or for none, from now on; returns once that holds. */
export async function setSynchronous(url: string, on: boolean): Promise<void> {
  await query(url, `alter system set synchronous_standby_names = '${on ? "*" : ""}'`);
  await query(url, "select pg_reload_conf()");
  if (!on) return;
  const waits = "select exists (select from pg_stat_replication where sync_state = 'sync') as waits";
  while ((await query<{ waits: boolean }>(url, waits))[0]?.waits !== true)
    await new Promise((resolve) => setTimeout(resolve, 50));
}

/** Has a standby take over; returns once it takes writes. */
export async function promote(url: string): Promise<void> {
  const [row] = await query<{ promoted: boolean }>(url, "select pg_promote(true, 60) as promoted");
  if (row?.promoted !== true) throw new Error("the standby did not take over");
}
