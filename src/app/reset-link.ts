import type { Config } from "../config/config.ts";
import { StartError } from "../lib/start-error.ts";
import { createResetLink } from "../sign-in/reset-service.ts";
import { forPerson } from "./by-hand.ts";

/**
 * Creates a password reset link, for an operator without mail to hand over.
 * @throws StartError without an e-mail, without DATABASE_URL, or for an unknown e-mail
 */
export function makeResetLink(config: Config, email: string | undefined): Promise<string> {
  return forPerson(config, "reset-link", email, async (db, known) => {
    const link = await createResetLink({ db, config }, known);
    if (link === undefined) throw new StartError(`No one signs in with ${known}. Check the address.`);
    return link;
  });
}
