import { chown, mkdtemp, open, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { StartError } from "../../lib/start-error.ts";
import { type Binaries, exists } from "./files.ts";
import { type Account, reason, run } from "./run.ts";

/** Postgres's files: the data in `dataFolder`, which lies in `home`, the log and drafts beside it. */
export type Cluster = {
  home: string;
  dataFolder: string;
  binaries: Binaries;
  account: Account;
  password: string;
};

// An initdb that outlived a killed app may still be writing.
const REMOVE = { recursive: true, force: true, maxRetries: 5 } as const;

/** Superuser of the cluster, and name of the database in it. */
export const NAME = "countersign";

/**
 * Makes the data folder where there is none, in one rename: a kill in the middle leaves a draft, which the next
 * start removes. The caller holds the lock on the folder.
 * @param durable whether it must outlive a power cut
 * @throws StartError when initdb fails, or the data is of another major version of Postgres
 */
export async function prepareCluster(cluster: Cluster, durable: boolean): Promise<void> {
  for (const name of await readdir(cluster.home)) {
    if (/^(postgres|binaries)-new-/.test(name)) await rm(join(cluster.home, name), REMOVE);
  }
  const versionFile = join(cluster.dataFolder, "PG_VERSION");
  if (!(await exists(cluster.dataFolder))) return await makeCluster(cluster, durable);
  const major = (await readFile(versionFile, "utf8")).trim();
  if (major !== cluster.binaries.version.split(".")[0]) {
    throw new StartError(
      `The database in ${cluster.dataFolder} was made by Postgres ${major}, and this version brings ${cluster.binaries.version}: ` +
        "dump it with the version of Countersign that made it, or set DATA_DIR to another folder",
    );
  }
}

async function makeCluster(
  { home, dataFolder, binaries, account, password }: Cluster,
  durable: boolean,
): Promise<void> {
  const draft = await mkdtemp(join(home, "postgres-new-"));
  const passwordFile = join(draft, "password");
  const data = join(draft, "data");
  await writeFile(passwordFile, password, { mode: 0o600 });
  for (const path of [draft, passwordFile]) await handOver(path, account);
  const flags = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", ...(durable ? [] : ["--no-sync"])];
  const args = ["-D", data, "-U", NAME, `--pwfile=${passwordFile}`, ...flags];
  const made = await run(join(binaries.folder, "bin", "initdb"), args, { account });
  if (!made.ok) {
    await rm(draft, REMOVE);
    throw new StartError(`The database could not be made in ${home}: ${reason(made.output)}`);
  }
  await rename(data, dataFolder);
  if (durable) await syncFolder(home);
  await rm(draft, REMOVE);
}

/** Gives `path` to the user that Postgres runs as. */
export async function handOver(path: string, account: Account): Promise<void> {
  if (account !== undefined) await chown(path, account.uid, account.gid);
}

/** Makes a rename in `folder` outlive a power cut, as initdb does for the files. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(folder);
  await handle.sync();
  await handle.close();
}
