import { readClock } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { sweep } from "../jobs/sweep.ts";
import { addSeconds, DAY_SECONDS, MINUTE_SECONDS } from "../lib/time.ts";
import { own } from "../mail/line.ts";
import { type MailConfig, queueMail } from "../mail/service.ts";
import { actsMail } from "./mails.ts";
import { listOwners } from "./member-store.ts";
import * as store from "./retention-store.ts";
import * as acts from "./token-act-store.ts";

/** Ended tokens and invitations stay visible for this long. */
const KEPT_SECONDS = 30 * DAY_SECONDS;
const BATCH = 1_000;
/** Bounds the mail that an agent can cause an owner to receive. */
const BETWEEN_MAILS_SECONDS = 10 * MINUTE_SECONDS;
const MAILED_AT_ONCE = 100;

/**
 * Deletes tokens that ended 30 days ago and that nothing refers to, one account a transaction. Approvals that such a token
 * requested keep its name. @returns how many
 */
export async function forgetEndedTokens(db: Db): Promise<number> {
  const before = addSeconds(await readClock(db), -KEPT_SECONDS);
  return sweep(
    () => store.listAccountsWithEndedTokens(db, before, BATCH),
    (accountId) => inTransaction(db, (trx) => store.deleteEndedTokens(trx, accountId, before, BATCH)),
  );
}

/** Deletes invitations that were used or expired 30 days ago, one account a transaction. @returns how many */
export async function forgetOldInvitations(db: Db): Promise<number> {
  const before = addSeconds(await readClock(db), -KEPT_SECONDS);
  return sweep(
    () => store.listAccountsWithOldInvitations(db, before, BATCH),
    (accountId) => inTransaction(db, (trx) => store.deleteOldInvitations(trx, accountId, before)),
  );
}

/**
 * Mails owners what tokens did to API keys and webhooks: at once, then at most once in 10 minutes. Several processes may
 * run it at once.
 * @returns how many accounts it mailed
 */
export async function mailTokenActs({ db, config }: { db: Db; config: MailConfig }): Promise<number> {
  const mailedBefore = addSeconds(await readClock(db), -BETWEEN_MAILS_SECONDS);
  return sweep(
    () => acts.listAccountsWithActs(db, mailedBefore, MAILED_AT_ONCE),
    (accountId) =>
      inTransaction(db, async (trx, now) => {
        const account = await acts.lockMailable(trx, accountId, mailedBefore);
        if (account === undefined) return 0;
        const lines = await acts.takeActs(trx, accountId);
        for (const owner of await listOwners(trx, accountId))
          await queueMail(trx, actsMail(config, owner, account.name, lines.map(own)), now);
        await acts.markActsMailed(trx, accountId, now);
        return 1;
      }),
  );
}
