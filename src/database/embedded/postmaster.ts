import { once } from "node:events";
import { open, readFile, rename, rm, stat } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { StartError } from "../../lib/start-error.ts";
import { MINUTE } from "../../lib/time.ts";
import { type Cluster, handOver } from "./cluster.ts";
import { answers } from "./connection.ts";
import { isAlive, isPostmaster, LOCK_FILE, readPostmaster } from "./leftover.ts";
import { reason, run } from "./run.ts";

const RECOVERY_PATIENCE = MINUTE;
const UNCERTAIN_PATIENCE = 3_000;
const POLL = 50;
const START_ATTEMPTS = 20;
const LOG_LIMIT = 8 * 1024 * 1024;

const DEFAULTS = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  max_connections: "100",
  timezone: "UTC",
  log_timezone: "UTC",
  // A statement's error belongs to the app that sent it, and its DETAIL holds people's data.
  log_min_messages: "log",
  log_checkpoints: "off",
};

/**
 * Starts Postgres on the cluster, or takes over one that a killed app has left running there.
 * The caller holds the lock on the folder.
 * @param settings Postgres's settings by name; one that was left running keeps its own
 * @returns its port on 127.0.0.1, and whether it was running already
 * @throws StartError when it does not start, with the reason from its log
 */
export async function startPostmaster(
  cluster: Cluster,
  settings: Record<string, string>,
): Promise<{ port: number; adopted: boolean }> {
  const log = join(cluster.home, "postgres.log");
  for (let attempt = 1; ; attempt++) {
    const left = await findPostmaster(cluster);
    if (left !== undefined) return { port: left, adopted: true };
    const port = await freePort();
    const logged = await openLog(log, cluster);
    const options = Object.entries({ ...DEFAULTS, ...settings, port: String(port) });
    const words = options.map(([name, value]) => `-c ${quote(`${name}=${value}`)}`).join(" ");
    const started = await control(cluster, ["start", "-l", log, "-o", words]);
    if (started.ok) return { port, adopted: false };
    const said = (await readFile(log)).subarray(logged).toString();
    const why = reason(said === "" ? started.output : said);
    // Gone in a moment: a port taken since we saw it free, a dying postmaster's lock file or last children.
    const passing = /TCP\/IP sockets|lock file|shared memory block/.test(why);
    if (!passing || attempt === START_ATTEMPTS) {
      throw new StartError(`Postgres did not start on ${cluster.dataFolder}: ${why} (see ${log})`);
    }
    await delay(2 * POLL);
  }
}

/**
 * Ends the Postgres of the cluster, if it runs: clients are disconnected, and all is written.
 * @throws Error when it still runs after a minute
 */
export async function stopPostmaster(cluster: Cluster): Promise<void> {
  // pg_ctl signals whatever process bears the number in the file.
  const left = await readPostmaster(cluster.dataFolder);
  if (left === undefined || (await isPostmaster(left.pid, cluster.dataFolder)) === false) return;
  const stopped = await control(cluster, ["stop", "-m", "fast"]);
  if (stopped.ok || !isAlive(left.pid)) return;
  throw new Error(`Postgres (process ${left.pid}) did not stop: ${reason(stopped.output)}`);
}

function control({ binaries, dataFolder, account }: Cluster, args: string[]) {
  return run(join(binaries.folder, "bin", "pg_ctl"), [...args, "-D", dataFolder, "-w", "-s", "-t", "60"], {
    account,
    // Ctrl-C while it starts should end both; while it stops, it should not be heard.
    ownSession: args[0] === "stop",
  });
}

/** Waits for the Postgres that a killed app left running; its lock file, once stale for certain, is removed. */
async function findPostmaster(cluster: Cluster): Promise<number | undefined> {
  for (let waited = 0; ; waited += POLL) {
    const left = await readPostmaster(cluster.dataFolder);
    if (left === undefined) return undefined;
    const ours = await isPostmaster(left.pid, cluster.dataFolder);
    if (ours === false || (left.pid === 0 && waited > 0)) {
      // Postgres would heed the number of a process that bears it now, and refuse an empty file for good.
      // Its other guard, shared memory under the number of the folder's inode, is not weakened by this.
      await rm(join(cluster.dataFolder, LOCK_FILE), { force: true });
      return undefined;
    }
    if (left.port > 0 && (await answers(cluster, left.port))) return left.port;
    if (ours === undefined && waited >= UNCERTAIN_PATIENCE) return undefined;
    if (waited >= RECOVERY_PATIENCE) {
      throw new StartError(
        `The Postgres that an earlier run left on ${cluster.dataFolder} (process ${left.pid}) does not answer: end it, then start again`,
      );
    }
    await delay(POLL);
  }
}

/** Opens the log to the user that Postgres runs as, and sets a long one aside. Returns its size in bytes. */
async function openLog(log: string, cluster: Cluster): Promise<number> {
  const size = await stat(log).then(
    (file) => file.size,
    () => 0,
  );
  if (size > LOG_LIMIT) await rename(log, `${log}.1`);
  await (await open(log, "a", 0o600)).close();
  await handOver(log, cluster.account);
  return size > LOG_LIMIT ? 0 : size;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** pg_ctl hands its options to a shell. */
function quote(word: string): string {
  return process.platform === "win32" ? `"${word}"` : `'${word.replaceAll("'", "'\\''")}'`;
}
