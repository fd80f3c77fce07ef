import { constants } from "node:fs";
import { access, mkdir, realpath } from "node:fs/promises";
import { join } from "node:path";
import { StartError } from "../lib/start-error.ts";
import { chooseAccount } from "./embedded/account.ts";
import { type Cluster, prepareCluster } from "./embedded/cluster.ts";
import { databaseUrl, ensureDatabase } from "./embedded/connection.ts";
import {
  canEnter,
  chooseHome,
  exists,
  findBinaries,
  knownHome,
  reachBinaries,
  readPassword,
} from "./embedded/files.ts";
import { lockFolder } from "./embedded/lock.ts";
import { startPostmaster, stopPostmaster } from "./embedded/postmaster.ts";

export type EmbeddedPostgres = {
  /** Address of its database `countersign`, with the password: not for logs. */
  url: string;
  /** Absolute path of Postgres's own data folder. */
  dataFolder: string;
  /** Whether a Postgres that a killed app had left running was taken over. */
  adopted: boolean;
  /** Stops Postgres and releases the folder. Idempotent. */
  stop(): Promise<void>;
};

/**
 * Starts a Postgres of our own on `dataDir`, and makes its database there at the first start: 0.7 s then, 0.2 s
 * later. It listens on a free port of 127.0.0.1 alone, and lives in a session of its own, so that Ctrl-C reaches
 * the app and not the database under it.
 *
 * One live app a folder. After a kill -9 Postgres lives on, and the next start takes it over.
 * @param options.dataDir a folder, made if need be
 * @param options.settings Postgres's settings by name, over our own
 * @throws StartError, in one line, for each reason that a human can mend
 */
export async function startEmbeddedPostgres(options: {
  dataDir: string;
  settings?: Record<string, string>;
}): Promise<EmbeddedPostgres> {
  const settings = options.settings ?? {};
  let unlock = () => {};
  try {
    // First, so that an image without them says so, and not that it cannot write.
    await findBinaries();
    const dataDir = await openFolder(options.dataDir);
    unlock = await lockFolder(dataDir);
    const cluster = await placeCluster(dataDir);
    await prepareCluster(cluster, settings.fsync !== "off");
    const { port, adopted } = await startPostmaster(cluster, settings);
    const stop = stopOnce(cluster, unlock);
    await ensureDatabase(cluster, port).catch(async (error: unknown) => {
      await stop();
      throw error;
    });
    return { url: databaseUrl(cluster, port), dataFolder: cluster.dataFolder, adopted, stop };
  } catch (error) {
    unlock();
    throw asStartError(error, options.dataDir);
  }
}

function stopOnce(cluster: Cluster, unlock: () => void): () => Promise<void> {
  let stopped: Promise<void> | undefined;
  return () => {
    stopped ??= stopPostmaster(cluster).finally(unlock);
    return stopped;
  };
}

/** Its real path, as Postgres is recognised by the path it was started with. */
async function openFolder(path: string): Promise<string> {
  await mkdir(path, { recursive: true });
  await access(path, constants.W_OK | constants.X_OK);
  return await realpath(path);
}

async function placeCluster(dataDir: string): Promise<Cluster> {
  const [found, known] = await Promise.all([findBinaries(), knownHome(dataDir)]);
  const account = await chooseAccount(join(known ?? dataDir, "postgres"));
  const home = known ?? (await chooseHome(dataDir, account));
  if (!(await canEnter(home, account))) {
    throw new StartError(
      `User ${account?.uid}, whom Postgres runs as, cannot enter ${home}: allow it (chmod a+x), or start as that user`,
    );
  }
  const binaries = await reachBinaries(found, home, account);
  const dataFolder = join(home, "postgres");
  if (process.platform !== "win32" && /["$`\\\n]/.test(dataFolder + binaries.folder)) {
    throw new StartError(
      `The path ${dataFolder} holds a character that Postgres cannot take: set DATA_DIR to another folder`,
    );
  }
  const password = await readPassword(dataDir, await exists(dataFolder));
  return { home, dataFolder, binaries, account, password };
}

/** The file system's own errors say what is wrong with the folder; what else was thrown is a fault of ours. */
function asStartError(error: unknown, dataDir: string): unknown {
  if (!(error instanceof Error) || !("syscall" in error)) return error;
  const said = error.message.replace(/^[A-Z0-9]+: /, "");
  return new StartError(`DATA_DIR ${dataDir} cannot be used: ${said}`);
}
