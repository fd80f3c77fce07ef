import type { Config } from "../config/config.ts";
import { connect } from "../database/connection.ts";
import { StartError } from "../lib/start-error.ts";
import { createResetLink } from "../sessions/resets.ts";

/**
 * Makes a link for a new password, for an operator without mail to hand over.
 * @throws StartError without an e-mail, without DATABASE_URL, or when nobody signs in with that e-mail
 */
export async function makeResetLink(config: Config, email: string | undefined): Promise<string> {
  if (email === undefined) throw new StartError("Say whose: reset-link person@example.com");
  if (config.databaseUrl === undefined) {
    throw new StartError("reset-link needs DATABASE_URL; the demo shows its mail at /demo/mailbox");
  }
  const { db, close } = connect(config.databaseUrl, {
    size: 1,
    statementTimeout: 5_000,
    lockTimeout: 3_000,
    onIdleError: () => {},
  });
  try {
    const link = await createResetLink({ db, config }, email);
    if (link === undefined) throw new StartError(`Nobody signs in with ${email}.`);
    return link;
  } finally {
    await close();
  }
}
