import type { Db, Trx } from "../database/connection.ts";
import { isUuid, newId } from "../lib/ids.ts";
import { addSeconds, DAY_SECONDS } from "../lib/time.ts";
import type { MailLine } from "./line.ts";
import * as store from "./store.ts";

const MAILBOX_SHOWS = 50;

/**
 * Paragraphs of plain text; a paragraph that is an address of this service becomes a link. Mail about security and money
 * goes before all other: `routine` is what strangers and agents can have sent, such as requests, invitations and links.
 */
export type Mail = { to: string; subject: MailLine; paragraphs: readonly MailLine[]; routine?: true };
/** Who gets a mail about the account, and how they are named in it. */
export type Addressee = { email: string; name: string };
/** What mails say of this service: its name, and where its pages are. */
export type MailConfig = { appName: string; publicUrl: string };
export type KeptMail = { id: string; to: string; subject: string; paragraphs: string[]; createdAt: Date };

/**
 * Queues a mail in the transaction of the change that it reports: it is sent after `trx` commits. It is sent at least once:
 * after a crash it may be sent again, under the same Message-ID.
 * @param usefulSeconds after this time it is not sent any more
 */
export async function queueMail(trx: Trx, mail: Mail, now: Date, usefulSeconds = DAY_SECONDS): Promise<void> {
  await store.insertMail(
    trx,
    {
      id: newId(),
      recipient: mail.to,
      subject: mail.subject.toString(),
      body: mail.paragraphs.join("\n\n"),
      urgent: mail.routine !== true,
      giveUpAt: addSeconds(now, usefulSeconds),
    },
    now,
  );
}

/** The newest mails, without their bodies where those are gone: the demo's mailbox. */
export async function listMailbox(db: Db): Promise<KeptMail[]> {
  return (await store.listMails(db, MAILBOX_SHOWS)).map(toKeptMail);
}

export async function readKeptMail(db: Db, id: string): Promise<KeptMail | undefined> {
  const row = isUuid(id) ? await store.findMail(db, id) : undefined;
  return row && toKeptMail(row);
}

function toKeptMail(row: NonNullable<Awaited<ReturnType<typeof store.findMail>>>): KeptMail {
  const { id, recipient, subject, body, created_at } = row;
  return { id, to: recipient, subject, paragraphs: body?.split("\n\n") ?? [], createdAt: created_at };
}
