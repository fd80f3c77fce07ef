import { parseArgs } from "node:util";
import { distribute, undistribute } from "../database/distribute.ts";
import { asDatabaseError } from "../database/unusable.ts";
import { StartError } from "../lib/start-error.ts";
import { readArguments } from "./by-hand.ts";

const SHARDS_AT_MOST = 10_000;

/**
 * Distributes the accounts' tables over the nodes of a Citus cluster, or brings them back with `--undo` (docs/scaling.md).
 * @param url of the coordinator's database, as the role that owns the tables
 * @param args `--shards N`: how many for each table; `--undo`
 * @param say is told each step, for the person at the terminal
 * @throws StartError in one line
 */
export async function distributeByHand(
  url: string | undefined,
  args: readonly string[],
  say: (line: string) => void,
): Promise<void> {
  const { shards, undo } = readOptions(args);
  if (url === undefined) {
    throw new StartError(
      "distribute needs DATABASE_MIGRATE_URL (or DATABASE_URL): the embedded database is one Postgres.",
    );
  }
  const work = undo ? undistribute(url, say) : distribute(url, shards, say);
  await work.catch((error: unknown) => {
    throw asDatabaseError(error, "DATABASE_MIGRATE_URL (or DATABASE_URL)");
  });
}

function readOptions(args: readonly string[]): { shards: number | undefined; undo: boolean } {
  return readArguments("distribute [--shards N] [--undo]", () => {
    const options = { shards: { type: "string" }, undo: { type: "boolean", default: false } } as const;
    const { values } = parseArgs({ args: [...args], options });
    if (values.shards === undefined) return { shards: undefined, undo: values.undo };
    const shards = Number(values.shards);
    if (!Number.isInteger(shards) || shards < 1 || shards > SHARDS_AT_MOST)
      throw new Error(`--shards must be a number from 1 to ${SHARDS_AT_MOST}`);
    return { shards, undo: values.undo };
  });
}
