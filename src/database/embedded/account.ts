import { stat } from "node:fs/promises";
import { StartError } from "../../lib/start-error.ts";
import { type Account, run } from "./run.ts";

/**
 * Whom Postgres runs as. It refuses to run as root, so root lends it the owner of the data that is there already,
 * else the system user `postgres`, else `countersign`, which is made where it is missing.
 * @param dataFolder where the data may be
 * @returns undefined unless we are root
 * @throws StartError when there is no such user and none can be made
 */
export async function chooseAccount(dataFolder: string): Promise<Account> {
  if (process.getuid?.() !== 0) return undefined;
  const owner = await stat(dataFolder).catch(() => undefined);
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  return (await lookUp("postgres")) ?? (await lookUp("countersign")) ?? (await create("countersign"));
}

async function lookUp(name: string): Promise<Account> {
  const [uid, gid] = await Promise.all([run("id", ["-u", name]), run("id", ["-g", name])]);
  return uid.ok && gid.ok ? { uid: Number(uid.output), gid: Number(gid.output) } : undefined;
}

async function create(name: string): Promise<Account> {
  const made = await run("useradd", [
    "--system",
    "--user-group",
    "--no-create-home",
    "--shell",
    "/bin/false",
    name,
  ]);
  const account = await lookUp(name);
  if (account !== undefined) return account;
  throw new StartError(
    `Postgres refuses to run as root, and a system user for it could not be made (${made.output}): ` +
      "start as an ordinary user, or set DATABASE_URL",
  );
}
