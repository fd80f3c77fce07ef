import { listOwners } from "../accounts/member-service.ts";
import { byPerson, recordAudit } from "../audit/service.ts";
import { readClock, readClockNow } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import type { Origin } from "../lib/origin.ts";
import { type MailConfig, queueMail } from "../mail/service.ts";
import { type Actor, inSession } from "../sign-in/service.ts";
import { fetchableUntil, isRefused } from "./claim-rules.ts";
import { grantRefusedMail } from "./mails.ts";
import * as store from "./store.ts";

/** A token that a claim has granted and that its agent has not fetched yet. */
export type WaitingGrant = { agentName: string | null; scopes: readonly string[]; until: Date };

/** The account's unfetched grant, if there is one. */
export async function findWaitingGrant(db: Db, accountId: string): Promise<WaitingGrant | undefined> {
  const row = await store.findByAccount(db, accountId);
  const until = row && fetchableUntil(row);
  if (row === undefined || until === undefined || isRefused(row) || until <= (await readClock(db)))
    return undefined;
  return { agentName: row.agentName, scopes: row.scopes ?? [], until };
}

/**
 * Refuses a grant before the agent has fetched its token. Records an audit entry and mails the owners.
 * @returns `false`: the token was fetched, or there is no grant
 * @throws as `holdActor`
 */
export async function refuseGrant(
  { db, config }: { db: Db; config: MailConfig },
  person: Actor & { name: string; email: string },
  { accountId, accountName }: { accountId: string; accountName: string },
  origin: Origin,
): Promise<boolean> {
  const need = { account: { id: accountId, may: "decide", alone: true } } as const;
  return inSession(db, person, need, async (trx) => {
    const now = await readClockNow(trx);
    const row = await store.findByAccount(trx, accountId);
    if (row === undefined || !(await store.markRefused(trx, accountId))) return false;
    const actor = byPerson(person);
    const detail = { registrationId: row.registrationId, scopes: row.scopes };
    await recordAudit(trx, { accountId, actor, action: "grant_refused", detail, origin }, now);
    const said = { by: person, accountName, agentName: row.agentName };
    for (const { email } of await listOwners(trx, accountId))
      await queueMail(trx, grantRefusedMail(config, email, said), now);
    return true;
  });
}
