import Stripe from "stripe";
import type { Processor } from "../billing/processor.ts";
import type { StripeAddress } from "../billing/stripe-client.ts";
import type { Config, DatabaseAddress } from "../config/config.ts";
import { connect, type Db } from "../database/connection.ts";
import { asDatabaseError } from "../database/unusable.ts";
import { StartError } from "../lib/start-error.ts";
import { MINUTE } from "../lib/time.ts";
import { connectionFault } from "./logger.ts";
import { assertMigrated } from "./prepare-database.ts";
import { assertOwnProcessor, openProcessor } from "./start.ts";

/** For one command at a time: it takes one step after the other, and may wait for a lock. */
const CONNECTION = { size: 2, statementTimeout: MINUTE, lockTimeout: 10_000, onIdleError: () => {} };
const NEEDS_URL = "needs DATABASE_URL: the embedded database belongs to the service that runs on it";

/**
 * Runs a command of the operator's on the migrated database, past any pooler.
 * @param command its name, for the person at the terminal
 * @throws StartError without DATABASE_URL, or for what that person can mend at the database
 */
export async function onDatabase<T>(
  { databaseUrl, databaseDirectUrl = databaseUrl }: DatabaseAddress,
  command: string,
  work: (db: Db) => Promise<T>,
): Promise<T> {
  if (databaseDirectUrl === undefined) throw new StartError(`${command} ${NEEDS_URL}`);
  const { db, close } = connect(databaseDirectUrl, CONNECTION);
  try {
    await assertMigrated(db);
    return await work(db);
  } catch (error) {
    throw asDatabaseError(error);
  } finally {
    await close();
  }
}

/**
 * The same for a command that calls the processor.
 * @throws StartError as `onDatabase`, and if Stripe cannot be reached
 */
export function withProcessor<T>(
  config: Config,
  command: string,
  stripeAt: StripeAddress | undefined,
  work: (deps: { db: Db; processor: Processor }) => Promise<T>,
): Promise<T> {
  return onDatabase(config, command, async (db) => {
    const processor = openProcessor(db, config, stripeAt);
    await assertOwnProcessor(db, processor);
    return work({ db, processor }).catch((error: unknown) => {
      if (!(error instanceof Stripe.errors.StripeError)) throw error;
      throw new StartError(`Stripe cannot be asked: ${connectionFault(error) ?? error.message}`);
    });
  });
}

/**
 * Reads a command's arguments.
 * @param usage the command and its options, which the error repeats
 * @throws StartError with what `read` throws
 */
export function readArguments<T>(usage: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new StartError(`${usage}: ${error instanceof Error ? error.message : error}`);
  }
}

/**
 * Runs what the operator does for one person, on the database that DATABASE_URL names.
 * @param command its name, for the person at the terminal
 * @throws StartError without an email, or as `onDatabase`
 */
export async function forPerson<T>(
  config: Config,
  command: string,
  email: string | undefined,
  work: (db: Db, email: string) => Promise<T>,
): Promise<T> {
  if (email === undefined) throw new StartError(`Say whose: ${command} person@example.com`);
  if (config.databaseUrl === undefined)
    throw new StartError(`${command} needs DATABASE_URL; the demo shows its mail at /demo/mailbox`);
  return onDatabase(config, command, (db) => work(db, email));
}
