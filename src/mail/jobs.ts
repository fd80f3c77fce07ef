import type { Logger } from "pino";
import { readClock } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import { sweepRows } from "../jobs/sweep.ts";
import { addSeconds, DAY_SECONDS, HOUR_SECONDS } from "../lib/time.ts";
import { claimMail, deleteOldMails, markSent, markUnsent, shortenMailWaits } from "./store.ts";
import type { MailTransport } from "./transport.ts";

const LEASE_SECONDS = 120;
const FIRST_WAIT_SECONDS = 30;
const LONGEST_WAIT_SECONDS = HOUR_SECONDS;
/** How long sent and failed mails stay visible. */
const KEPT_SECONDS = 7 * DAY_SECONDS;
const BATCH = 1_000;

/** Mails sent at once: of all kinds, and in addition urgent ones. */
const AT_ONCE = { all: 4, urgent: 2 } as const;

/**
 * Sends due mails, several at once, urgent ones first, outside any transaction. Several processes may run it at once: each
 * mail is leased to one of them. A failed mail is tried again with growing delays until it is useless. A second loop that
 * sends only `urgent` mails keeps slow servers from delaying them.
 * @returns how many went out
 */
export async function sendDueMails(
  deps: { db: Db; logger: Logger },
  transport: MailTransport,
  which: keyof typeof AT_ONCE = "all",
): Promise<number> {
  const sent = await Promise.all(
    Array.from({ length: AT_ONCE[which] }, () => sendOneByOne(deps, transport, which === "urgent")),
  );
  return sent.reduce((sum, count) => sum + count, 0);
}

async function sendOneByOne(
  { db, logger }: { db: Db; logger: Logger },
  transport: MailTransport,
  urgentOnly: boolean,
): Promise<number> {
  for (let sent = 0; ; ) {
    const mail = await claimMail(db, { leaseSeconds: LEASE_SECONDS, urgentOnly });
    if (mail === undefined) return sent;
    try {
      await transport.send(mail);
    } catch (error) {
      logger.warn(
        { err: error, mail: mail.id, attempt: mail.attempts },
        "a mail could not be sent; will be tried again",
      );
      const wait = FIRST_WAIT_SECONDS * 2 ** (mail.attempts - 1);
      await markUnsent(db, mail.id, Math.min(wait, LONGEST_WAIT_SECONDS));
      continue;
    }
    await markSent(db, mail.id, { keepBody: transport.keepsBodies });
    sent += 1;
  }
}

/** Shortens what a step back of the database's clock has made wait too long. Several processes may run it at once. */
export function shortenWaits(db: Db): Promise<void> {
  return shortenMailWaits(db, { leaseSeconds: LEASE_SECONDS, waitSeconds: LONGEST_WAIT_SECONDS });
}

/** Deletes mails that were sent or given up 7 days ago, with their recipients' addresses. @returns how many */
export async function forgetOldMails(db: Db): Promise<number> {
  const before = addSeconds(await readClock(db), -KEPT_SECONDS);
  return sweepRows(BATCH, () => deleteOldMails(db, before, BATCH));
}
