import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { onTestFinished } from "vitest";
import { guard } from "./guard.ts";
import { freePort, waitUntil } from "./process.ts";

/** As `PGBOUNCER_PATH` names it, else the system's. */
const PATH = process.env.PGBOUNCER_PATH || "pgbouncer";

/** Its version, as in 1.24; undefined where there is none. */
export const pgbouncerVersion = ((): number | undefined => {
  const { stdout } = spawnSync(PATH, ["--version"], { encoding: "utf8" });
  const [, version] = /^PgBouncer (\d+\.\d+)/.exec(stdout ?? "") ?? [];
  return version === undefined ? undefined : Number(version);
})();

/** From this version on, statements under a name go with their client. */
export const CARRIES_STATEMENTS = 1.21;

export type Pooler = {
  /** `url` with the pooler's address in the place of the server's. */
  url: string;
  /** Says something to its console, such as `RECONNECT`. */
  command(text: string): Promise<void>;
};

/**
 * Stands PgBouncer, in transaction mode, between a service and the Postgres at `url`, with nothing set beyond that.
 * It ends with the test.
 */
export async function startPgbouncer(
  url: string,
  settings: Record<string, string | number> = {},
): Promise<Pooler> {
  const pooler = await openPgbouncer(url, settings);
  onTestFinished(pooler.stop);
  return pooler;
}

/** The same, until `stop` is called. Its one user is the one that `url` names; it serves every database. */
export async function openPgbouncer(
  url: string,
  settings: Record<string, string | number> = {},
): Promise<Pooler & { stop(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), "countersign-pgbouncer-"));
  await chmod(folder, 0o755);
  const port = await freePort();
  const { hostname, port: serverPort, username, password } = new URL(url);
  const lines = Object.entries({
    listen_addr: "127.0.0.1",
    listen_port: port,
    unix_socket_dir: "",
    auth_type: "plain",
    auth_file: join(folder, "users"),
    admin_users: username,
    pool_mode: "transaction",
    ...settings,
  }).map(([name, value]) => `${name} = ${value}`);
  await writeFile(join(folder, "users"), `"${username}" "${decodeURIComponent(password)}"\n`);
  await writeFile(
    join(folder, "pgbouncer.ini"),
    [`[databases]`, `* = host=${hostname} port=${serverPort || 5432}`, `[pgbouncer]`, ...lines, ""].join(
      "\n",
    ),
  );
  // It refuses to run as root.
  const user = process.getuid?.() === 0 ? { uid: idOf("-u"), gid: idOf("-g") } : {};
  const child = spawn(PATH, [join(folder, "pgbouncer.ini")], {
    ...user,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  const letGo = child.pid === undefined ? () => {} : guard(child.pid);
  const ended = once(child, "close");
  const stop = async () => {
    child.kill("SIGKILL");
    await ended;
    letGo();
    await rm(folder, { recursive: true, force: true });
  };
  const pooled = new URL(url);
  pooled.hostname = "127.0.0.1";
  pooled.port = String(port);
  const console = new URL(pooled);
  console.pathname = "/pgbouncer";
  const command = async (text: string) => {
    const client = new pg.Client({ connectionString: console.href });
    await client.connect();
    try {
      await client.query(text);
    } finally {
      await client.end();
    }
  };
  await waitUntil(async () => {
    await command("SHOW VERSION");
    return true;
  }, `PgBouncer answers: ${said}`);
  return { url: pooled.href, command, stop };
}

const idOf = (flag: string) => Number(execFileSync("id", [flag, "nobody"]));
