import { readClock } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import type { Asker } from "../database/schema.ts";
import { inTransaction } from "../database/transaction.ts";
import { appendEvents } from "../events/service.ts";
import { sweepEach } from "../jobs/sweep.ts";
import { askerWords } from "../lib/asker.ts";
import { sumOf } from "../lib/statement.ts";
import { addSeconds, DAY_SECONDS, formatTime, MINUTE_SECONDS } from "../lib/time.ts";
import { line, type MailLine, named, own } from "../mail/line.ts";
import { type Mail, queueMail } from "../mail/service.ts";
import * as store from "./mail-store.ts";
import { actWords } from "./mails.ts";

const BATCH = 500;
const BETWEEN_MAILS_SECONDS = 10 * MINUTE_SECONDS;
const NUDGE_BEFORE_SECONDS = DAY_SECONDS;
const AFTER_FAILURE_SECONDS = MINUTE_SECONDS;

export type ApprovalMailDeps = { db: Db; config: { appName: string; publicUrl: string } };

/**
 * Mails members who may decide about pending approvals, and again a day before one expires (docs/contract.md §1). A
 * member gets at most one mail in 10 minutes, with all pending approvals in it, and none for a day after a decline.
 * The mail links to the page; it contains nothing that decides.
 */
export async function sendApprovalMails(deps: ApprovalMailDeps): Promise<void> {
  const now = await readClock(deps.db);
  await sweepEach(await store.listDueMails(deps.db, now, BATCH), async ({ accountId, ids }) => {
    try {
      await inTransaction(deps.db, (trx) => notifyAccount(trx, deps.config, accountId, ids));
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
): Promise<void> {
  const now = await readClock(trx);
  const members = await store.lockDeciders(trx, accountId);
  const waiting = await store.listWaiting(trx, accountId, now);
  const audible = waiting.filter(({ quietUntil }) => quietUntil === null || quietUntil <= now);
  const mailed: string[] = [];
  for (const member of members) {
    if (mayMailFrom(member) > now || !audible.some((approval) => isNews(approval, member, now))) continue;
    await queueMail(trx, approvalMail(config, member, audible), now);
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
  await announce(trx, config, accountId, waiting, now);
}

/** Appends a request to the operator's feed before it is decided, if the sweep has not yet. */
export async function announceNow(
  { db, config }: { db: Db; config: { publicUrl: string } },
  accountId: string,
  approvalId: string,
): Promise<void> {
  if (!(await store.isUnannounced(db, accountId, approvalId))) return;
  await inTransaction(db, async (trx) =>
    announce(trx, config, accountId, [{ id: approvalId, announced: false }], await readClock(trx)),
  );
}

/** Appends each request to the operator's feed once, with what the operator needs to notify people in other ways. */
async function announce(
  trx: Trx,
  { publicUrl }: { publicUrl: string },
  accountId: string,
  waiting: readonly Pick<store.WaitingApproval, "id" | "announced">[],
  now: Date,
): Promise<void> {
  const fresh = waiting.filter(({ announced }) => !announced).map(({ id }) => id);
  if (fresh.length === 0) return;
  // One that was decided meanwhile was announced before.
  const marked = await store.markAnnounced(trx, accountId, fresh, now);
  const events = marked.map(({ id, type, contractId, milestoneId, jobId, terms }) => ({
    type: "approval.requested" as const,
    resourceId: id,
    jobId,
    data: {
      ...{ approvalId: id, approvalType: type, contractId, milestoneId, ...sumOf(terms) },
      payee: "refunds" in terms ? null : terms.payee,
      approvalUrl: `${publicUrl}/approvals/${id}`,
    },
  }));
  await appendEvents(trx, accountId, events, now);
}

/** Whether the member has not been mailed about it: that it is pending, or that it expires soon. */
function isNews(approval: store.WaitingApproval, { mailedAt }: store.MailableMember, now: Date): boolean {
  const nudgeAt = nudgeTime(approval);
  const announced =
    mailedAt !== null && mailedAt >= approval.createdAt && mailedAt >= (approval.quietUntil ?? mailedAt);
  return !announced || (nudgeAt !== null && nudgeAt <= now && mailedAt < nudgeAt);
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

/** A day before it expires; null if it is pending for less. */
function nudgeTime({ createdAt, expiresAt }: store.WaitingApproval): Date | null {
  const at = addSeconds(expiresAt, -NUDGE_BEFORE_SECONDS);
  return at > createdAt ? at : null;
}

/** The person behind the token that requested it. */
function behind(asker: Asker | null): MailLine {
  if (asker === null) return line``;
  const { words, name } = askerWords(asker);
  return line` (${own(words)}${name === null ? line`` : named(name)})`;
}

function approvalMail(
  { appName, publicUrl }: ApprovalMailDeps["config"],
  member: store.MailableMember,
  waiting: readonly store.WaitingApproval[],
): Mail {
  const one = waiting.length === 1;
  const lines = waiting.map(({ type, tokenName, asker, terms, expiresAt }) => {
    const until = own(formatTime(expiresAt));
    return line`${actWords({ type, terms })}, asked for by ${named(tokenName)}${behind(asker)}, open until ${until}`;
  });
  return {
    to: member.email,
    routine: true,
    subject: one
      ? line`${own(appName)}: an approval waits for you`
      : line`${own(appName)}: ${waiting.length} approvals wait for you`,
    paragraphs: [
      line`Hello,`,
      one ? line`An agent asks you to:` : line`Agents ask you to:`,
      ...lines,
      line`Nothing moves unless you sign in, read the terms and confirm. A request that no one confirms expires.`,
      own(one ? `${publicUrl}/approvals/${waiting[0]?.id}` : `${publicUrl}/approvals`),
    ],
  };
}
