import { getAccount } from "../accounts/service.ts";
import { readClock } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { appendEvents } from "../events/service.ts";
import { sweepEach } from "../jobs/sweep.ts";
import { sumOf } from "../lib/statement.ts";
import { addSeconds, DAY_SECONDS, MINUTE_SECONDS } from "../lib/time.ts";
import { type MailConfig, queueMail } from "../mail/service.ts";
import type { AnyEvent } from "./booking.ts";
import * as store from "./mail-store.ts";
import { pendingMail } from "./mails.ts";

const BATCH = 500;
const BETWEEN_MAILS_SECONDS = 10 * MINUTE_SECONDS;
const NUDGE_BEFORE_SECONDS = DAY_SECONDS;
const AFTER_FAILURE_SECONDS = MINUTE_SECONDS;

export type ApprovalMailDeps = { db: Db; config: MailConfig };

/**
 * Mails members who may decide about pending approvals, and again a day before one expires (docs/contract.md §1). A
 * member gets at most one mail in 10 minutes, with all pending approvals in it, and none for a day after a decline.
 * The mail links to the page; it contains nothing that decides.
 */
export async function sendApprovalMails(deps: ApprovalMailDeps): Promise<void> {
  const now = await readClock(deps.db);
  await sweepEach(await store.listDueMails(deps.db, now, BATCH), async ({ accountId, ids }) => {
    try {
      await inTransaction(deps.db, (trx, at) => notifyAccount(trx, deps.config, accountId, ids, at));
    } catch (error) {
      // Else accounts that fail would fill each batch, and keep all others from their mail.
      await store.setNotifyAt(deps.db, accountId, ids, addSeconds(now, AFTER_FAILURE_SECONDS));
      throw error;
    }
  });
}

async function notifyAccount(
  trx: Trx,
  config: ApprovalMailDeps["config"],
  accountId: string,
  ids: readonly string[],
  now: Date,
): Promise<void> {
  const members = await store.lockDeciders(trx, accountId);
  const waiting = await store.listWaiting(trx, accountId, now);
  const audible = waiting.filter(({ quietUntil }) => quietUntil === null || quietUntil <= now);
  const { name: accountName } = await getAccount(trx, accountId, "");
  const mailed: string[] = [];
  for (const member of members) {
    if (mayMailFrom(member) > now || !audible.some((approval) => isNews(approval, member, now))) continue;
    const expiresSoon = audible.some((approval) => isDue(nudgeTime(approval), now));
    const to = { email: member.email, accountName, expiresSoon };
    await queueMail(trx, pendingMail(config, to, audible), now);
    mailed.push(member.id);
  }
  if (mailed.length > 0) await store.markMailed(trx, accountId, mailed, now);
  const after = members.map((member) => (mailed.includes(member.id) ? { ...member, mailedAt: now } : member));
  for (const id of ids) {
    const approval = waiting.find((candidate) => candidate.id === id);
    await store.setNotifyAt(
      trx,
      accountId,
      [id],
      approval === undefined ? null : nextLook(approval, after, now),
    );
  }
  const fresh = waiting.filter(({ announced }) => !announced).map(({ id }) => id);
  if (fresh.length === 0) return;
  await appendEvents(trx, accountId, await takeRequested(trx, config, accountId, fresh, now), now);
}

/**
 * The events of requests that the operator's feed has not reported yet, with what the operator needs to notify people in
 * other ways. The caller appends them in the same transaction. Who decides a request appends them before the decision's
 * own, while the request is still pending: so each is reported once, before it is decided, and a decision that is rejected
 * reports nothing.
 */
export async function takeRequested(
  trx: Trx,
  { publicUrl }: { publicUrl: string },
  accountId: string,
  approvalIds: readonly string[],
  now: Date,
): Promise<AnyEvent[]> {
  const marked = await store.markAnnounced(trx, accountId, approvalIds, now);
  return marked.map(({ id, type, contractId, milestoneId, jobId, terms }) => ({
    type: "approval.requested" as const,
    resourceId: id,
    jobId,
    data: {
      ...{ approvalId: id, approvalType: type, contractId, milestoneId, ...sumOf(terms) },
      payee: "refunds" in terms ? null : terms.payee,
      approvalUrl: `${publicUrl}/approvals/${id}`,
    },
  }));
}

/** Whether the member has not been mailed about it: that it is pending, or that it expires soon. */
function isNews(approval: store.WaitingApproval, { mailedAt }: store.MailableMember, now: Date): boolean {
  const nudgeAt = nudgeTime(approval);
  const announced =
    mailedAt !== null && mailedAt >= approval.createdAt && mailedAt >= (approval.quietUntil ?? mailedAt);
  return !announced || (nudgeAt !== null && isDue(nudgeAt, now) && mailedAt < nudgeAt);
}

function nextLook(
  approval: store.WaitingApproval,
  members: readonly store.MailableMember[],
  now: Date,
): Date | null {
  if (approval.quietUntil !== null && approval.quietUntil > now) return approval.quietUntil;
  // No member to mail yet; one may join.
  if (members.length === 0) return addSeconds(now, BETWEEN_MAILS_SECONDS);
  const throttled = members.filter((member) => isNews(approval, member, now)).map(mayMailFrom);
  const nudgeAt = nudgeTime(approval);
  const looks = nudgeAt !== null && nudgeAt > now ? [...throttled, nudgeAt] : throttled;
  return looks.length === 0 ? null : new Date(Math.min(...looks.map((look) => look.getTime())));
}

function mayMailFrom({ mailedAt }: store.MailableMember): Date {
  return mailedAt === null ? new Date(0) : addSeconds(mailedAt, BETWEEN_MAILS_SECONDS);
}

function isDue(at: Date | null, now: Date): boolean {
  return at !== null && at <= now;
}

/** A day before it expires; null if it is pending for less. */
function nudgeTime({ createdAt, expiresAt }: store.WaitingApproval): Date | null {
  const at = addSeconds(expiresAt, -NUDGE_BEFORE_SECONDS);
  return at > createdAt ? at : null;
}
