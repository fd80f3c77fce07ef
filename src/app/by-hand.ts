import type { Config } from "../config/config.ts";
import { connect, type Db } from "../database/connection.ts";
import { asDatabaseError } from "../database/unusable.ts";
import { StartError } from "../lib/start-error.ts";

/**
 * Does for a person what the operator asks for by hand, on the database that DATABASE_URL names.
 * @param command its name, for the person at the terminal
 * @throws StartError without an e-mail, or without DATABASE_URL
 */
export async function forPerson<T>(
  config: Config,
  command: string,
  email: string | undefined,
  work: (db: Db, email: string) => Promise<T>,
): Promise<T> {
  if (email === undefined) throw new StartError(`Say whose: ${command} person@example.com`);
  if (config.databaseUrl === undefined) {
    throw new StartError(`${command} needs DATABASE_URL; the demo shows its mail at /demo/mailbox`);
  }
  const { db, close } = connect(config.databaseUrl, {
    size: 1,
    onIdleError: () => {},
  });
  try {
    return await work(db, email);
  } catch (error) {
    throw asDatabaseError(error);
  } finally {
    await close();
  }
}
