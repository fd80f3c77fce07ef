import type { Config } from "../config/config.ts";
import { StartError } from "../lib/start-error.ts";
import { formatTime } from "../lib/time.ts";
import { openPasskeys } from "../passkeys/activation-service.ts";
import { forPerson } from "./by-hand.ts";

/**
 * Lets a passkey count that a person added after a reset, a day from now, where no other owner can vouch for them.
 * @returns what to tell the operator
 * @throws StartError without an e-mail, without DATABASE_URL, or when no passkey of that person waits
 */
export function openPasskey(config: Config, email: string | undefined): Promise<string> {
  return forPerson(config, "open-passkey", email, async (db, known) => {
    const opened = await openPasskeys({ db, config }, known);
    if (opened === undefined) {
      throw new StartError(
        `No passkey of ${known} waits. They sign in, add one under Settings → Security, and then it does.`,
      );
    }
    const { from, passkeys, told } = opened;
    const mailed = config.smtpUrl === undefined ? "No mail goes out here: tell them yourself" : "Mailed";
    return [
      `From ${formatTime(from)} on it confirms: ${passkeys.join(", ")}.`,
      `${mailed}: ${told.join(", ")}. Until then any owner can stop it, under Settings → Security.`,
    ].join("\n");
  });
}
