import type { Logger } from "pino";
import type { Db } from "../database/connection.ts";
import { claimMail, markSent, markUnsent } from "./store.ts";
import type { MailTransport } from "./transport.ts";

const LEASE_SECONDS = 120;
const FIRST_WAIT_SECONDS = 30;
const LONGEST_WAIT_SECONDS = 60 * 60;

/**
 * Sends what is due, one at a time, outside any transaction. Any number of processes may run it at once: a
 * mail is leased to one of them. What does not go out is tried again, later each time, until it is of no use.
 * @returns how many went out
 */
export async function sendDueMails(
  { db, logger }: { db: Db; logger: Logger },
  transport: MailTransport,
): Promise<number> {
  for (let sent = 0; ; ) {
    const mail = await claimMail(db, LEASE_SECONDS);
    if (mail === undefined) return sent;
    try {
      await transport.send(mail);
    } catch (error) {
      logger.warn({ err: error, mail: mail.id, attempt: mail.attempts }, "a mail did not go out");
      const wait = FIRST_WAIT_SECONDS * 2 ** (mail.attempts - 1);
      await markUnsent(db, mail.id, Math.min(wait, LONGEST_WAIT_SECONDS));
      continue;
    }
    await markSent(db, mail.id, { keepBody: transport.keepsBodies });
    sent += 1;
  }
}
