import { readClock } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { addSeconds, DAY_SECONDS, MINUTE_SECONDS } from "../lib/time.ts";
import { own } from "../mail/line.ts";
import { queueMail } from "../mail/service.ts";
import { actsMail, type MailConfig } from "./mails.ts";
import { listOwners } from "./member-store.ts";
import * as store from "./retention-store.ts";
import * as acts from "./token-act-store.ts";

/** So long after its end a token or an invitation is still there to be looked at. */
const KEPT_SECONDS = 30 * DAY_SECONDS;
const BATCH = 1_000;
/** What an agent can have mailed to an owner is bounded: one mail in this time. */
const BETWEEN_MAILS_SECONDS = 10 * MINUTE_SECONDS;
const MAILED_AT_ONCE = 100;

/**
 * Forgets tokens that ended 30 days ago and that nothing refers to, one account a transaction. Whoever was asked by one
 * still reads its name. @returns how many
 */
export function forgetEndedTokens(db: Db): Promise<number> {
  return sweep(db, store.listAccountsWithEndedTokens, (trx, accountId, before) =>
    store.deleteEndedTokens(trx, accountId, before, BATCH),
  );
}

/** Forgets invitations that were used, or lapsed, 30 days ago, one account a transaction. @returns how many */
export function forgetOldInvitations(db: Db): Promise<number> {
  return sweep(db, store.listAccountsWithOldInvitations, store.deleteOldInvitations);
}

/** Mails owners what tokens did to keys and webhooks: at once, then at most once in 10 minutes. Safe to run in parallel. */
export async function mailTokenActs({ db, config }: { db: Db; config: MailConfig }): Promise<void> {
  const mailedBefore = addSeconds(await readClock(db), -BETWEEN_MAILS_SECONDS);
  for (const accountId of await acts.listAccountsWithActs(db, mailedBefore, MAILED_AT_ONCE)) {
    await inTransaction(db, async (trx) => {
      const account = await acts.lockMailable(trx, accountId, mailedBefore);
      if (account === undefined) return;
      const now = await readClock(trx);
      const lines = await acts.takeActs(trx, accountId);
      for (const owner of await listOwners(trx, accountId))
        await queueMail(trx, actsMail(config, owner, account.name, lines.map(own)), now);
      await acts.markActsMailed(trx, accountId, now);
    });
  }
}

async function sweep(
  db: Db,
  listAccounts: (db: Db, before: Date, limit: number) => Promise<string[]>,
  forget: (trx: Trx, accountId: string, before: Date) => Promise<number>,
): Promise<number> {
  const before = addSeconds(await readClock(db), -KEPT_SECONDS);
  for (let forgotten = 0; ; ) {
    const accountIds = await listAccounts(db, before, BATCH);
    if (accountIds.length === 0) return forgotten;
    for (const accountId of accountIds)
      forgotten += await inTransaction(db, (trx) => forget(trx, accountId, before));
  }
}
