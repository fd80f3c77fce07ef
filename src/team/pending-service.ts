import { listMembers, type MemberRow } from "../accounts/member-service.ts";
import { mayDecide } from "../accounts/roles.ts";
import { getAccount } from "../accounts/service.ts";
import { byPerson, recordAudit } from "../audit/service.ts";
import { readClock } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import type { PendingRequest } from "../database/schema.ts";
import { assertDailyLimit } from "../lib/daily-limit.ts";
import { isUuid, newId } from "../lib/ids.ts";
import type { Origin } from "../lib/origin.ts";
import { Problem } from "../lib/problems.ts";
import type { Change } from "../lib/statement.ts";
import { addSeconds, DAY_SECONDS } from "../lib/time.ts";
import { type MailConfig, queueMail } from "../mail/service.ts";
import { changeAskedMail } from "./pending-mails.ts";
import * as store from "./pending-store.ts";

export type { PendingChange } from "./pending-store.ts";

const LASTS_SECONDS = 3 * DAY_SECONDS;
/** The most changes that may be asked for in 24 hours, as each is mailed to all deciders. */
const ASKED_A_DAY = 20;

/**
 * Whether a second person must agree before a decider is added or the policy is loosened, as in an account where two people sign large payments
 * (docs/contract.md §1, Two people). The caller holds the account.
 * @param operatorAsks whether the operator asks for the change: without a second decider, the operator and the owner
 * are the two
 * @throws Problem second_person_missing when a second person must agree and the account has none
 */
export async function needsSecondPerson(
  trx: Trx,
  accountId: string,
  userId: string,
  { operatorAsks }: { operatorAsks: boolean },
): Promise<boolean> {
  const account = await getAccount(trx, accountId, "");
  if (account.second_signer_from_cents === null) return false;
  if ((await listOtherDeciders(trx, accountId, userId)).length > 0) return true;
  if (operatorAsks) return false;
  throw new Problem("second_person_missing");
}

/**
 * Stores a change that takes effect once a second person agrees, records it and mails the other deciders. Replaces an
 * earlier change of the same subject. The caller holds the account and has checked the signature.
 * @throws Problem rate_limited after 20 in 24 hours
 */
export async function askForSecondPerson(
  trx: Trx,
  config: MailConfig,
  asked: {
    account: { accountId: string; accountName: string };
    by: { userId: string; name: string; email?: string };
    act: Change;
    request: PendingRequest;
    kept: object;
    origin: Origin;
  },
  now: Date,
): Promise<void> {
  const { account, by, act, request, kept, origin } = asked;
  const { accountId, accountName } = account;
  const { action, terms } = act;
  if (action === "passkey") throw new TypeError("a passkey change needs no second person");
  assertDailyLimit(await store.countAsked(trx, accountId, addSeconds(now, -DAY_SECONDS)), ASKED_A_DAY, now);
  const subject = `${terms.subject.kind}:${terms.subject.id}`;
  await store.endChange(trx, { accountId, subject }, "replaced", by.userId, now);
  const id = newId();
  const expiresAt = addSeconds(now, LASTS_SECONDS);
  const change = { accountId, id, action, subject, terms, request, askedBy: by.userId, expiresAt };
  await store.insertChange(trx, change, now);
  const entry = { accountId, actor: byPerson(by), subject: { kind: "pending_change", id }, origin };
  const values = { ...(terms.from !== null && { before: terms.from }), after: terms.to };
  const detail = { of: terms.subject, expiresAt: expiresAt.toISOString(), ...kept };
  await recordAudit(trx, { ...entry, action: "change_asked", ...values, detail }, now);
  const deciders = await listDeciders(trx, accountId);
  const asker = deciders.find(({ userId }) => userId === by.userId);
  if (asker === undefined) return;
  const said = { by: asker, accountName, of: action, terms, expiresAt };
  for (const to of deciders.filter(({ userId }) => userId !== by.userId))
    await queueMail(trx, changeAskedMail(config, to, said), now);
}

/** The account's changes that need a second person. */
export async function listPendingChanges(db: Db, accountId: string): Promise<store.PendingChange[]> {
  return store.listOpen(db, accountId, await readClock(db));
}

/**
 * One pending change; `undefined` when it is decided or expired, or when the person who asked is no longer an owner.
 */
export async function findPendingChange(
  db: Db,
  accountId: string,
  id: string,
): Promise<store.PendingChange | undefined> {
  return isUuid(id) ? store.findOpen(db, accountId, id, await readClock(db)) : undefined;
}

async function listDeciders(db: Db, accountId: string): Promise<MemberRow[]> {
  const members = await listMembers(db, accountId);
  return members.filter(({ status, role }) => status === "active" && mayDecide(role));
}

/** The other members who may decide. */
export async function listOtherDeciders(db: Db, accountId: string, userId: string): Promise<MemberRow[]> {
  return (await listDeciders(db, accountId)).filter((member) => member.userId !== userId);
}
