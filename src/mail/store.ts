import { sql } from "kysely";
import { shortenWaits } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";

export type NewMail = {
  id: string;
  recipient: string;
  subject: string;
  body: string;
  urgent: boolean;
  giveUpAt: Date;
};

export async function insertMail(trx: Trx, mail: NewMail, now: Date): Promise<void> {
  await trx
    .insertInto("mails")
    .values({
      id: mail.id,
      recipient: mail.recipient,
      subject: mail.subject,
      body: mail.body,
      urgent: mail.urgent,
      created_at: now,
      due_at: now,
      give_up_at: mail.giveUpAt,
      leased_until: null,
      sent_at: null,
      failed_at: null,
    })
    .execute();
}

/** A mail that this process has leased. */
export type ClaimedMail = {
  id: string;
  recipient: string;
  subject: string;
  body: string;
  attempts: number;
  giveUpAt: Date;
};

/**
 * Takes the mail that has been due the longest, urgent ones first, or they alone, for `leaseSeconds`; others pass it
 * over meanwhile.
 */
export async function claimMail(
  db: Db,
  { leaseSeconds, urgentOnly }: { leaseSeconds: number; urgentOnly: boolean },
): Promise<ClaimedMail | undefined> {
  const { rows } = await sql<ClaimedMail>`
    update mails set attempts = attempts + 1, leased_until = now() + make_interval(secs => ${leaseSeconds})
    where id = (
      select id from mails
      where sent_at is null and failed_at is null and due_at <= now()
        and (leased_until is null or leased_until < now()) and (urgent or not ${urgentOnly})
      order by urgent desc, due_at limit 1 for update skip locked
    )
    returning id, recipient, subject, body, attempts, give_up_at as "giveUpAt"`.execute(db);
  return rows[0];
}

/** Records that a mail was sent. Deletes its body, unless the demo's mailbox keeps it. */
export async function markSent(db: Db, id: string, { keepBody }: { keepBody: boolean }): Promise<void> {
  await sql`
    update mails set sent_at = now(), leased_until = null, body = case when ${keepBody} then body end
    where id = ${id} and sent_at is null`.execute(db);
}

/** Schedules another attempt for a mail, or gives it up if it would be useless by then. */
export async function markUnsent(db: Db, id: string, waitSeconds: number): Promise<void> {
  await sql`
    update mails set leased_until = null, due_at = now() + make_interval(secs => ${waitSeconds}),
      failed_at = case when give_up_at <= now() + make_interval(secs => ${waitSeconds}) then now() end,
      body = case when give_up_at <= now() + make_interval(secs => ${waitSeconds}) then null else body end
    where id = ${id} and sent_at is null`.execute(db);
}

/** Shortens leases and waits that a clock set back has made longer than `leaseSeconds` and `waitSeconds`. */
export async function shortenMailWaits(
  db: Db,
  { leaseSeconds, waitSeconds }: { leaseSeconds: number; waitSeconds: number },
): Promise<void> {
  const pending = sql<boolean>`sent_at is null and failed_at is null`;
  const seconds = sql<number>`case attempts when 0 then 0 else ${waitSeconds}::float8 end`;
  await shortenWaits(db, "mails", "leased_until", { pending, seconds: sql`${leaseSeconds}::float8` });
  await shortenWaits(db, "mails", "due_at", { pending, seconds });
}

/** Deletes mails that were sent or given up before then. @returns how many, `limit` at most */
export async function deleteOldMails(db: Db, before: Date, limit: number): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from mails where id = any(array(
      select id from mails where least(sent_at, failed_at) < ${before} limit ${limit}
    ))`.execute(db);
  return Number(numAffectedRows ?? 0n);
}

/** The newest mails, for the demo's mailbox. */
export function listMails(db: Db, limit: number) {
  return db
    .selectFrom("mails")
    .select(["id", "recipient", "subject", "body", "created_at"])
    .orderBy("created_at", "desc")
    .orderBy("id", "desc")
    .limit(limit)
    .execute();
}

export function findMail(db: Db, id: string) {
  return db
    .selectFrom("mails")
    .where("id", "=", id)
    .select(["id", "recipient", "subject", "body", "created_at"])
    .executeTakeFirst();
}
