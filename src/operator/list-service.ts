import { toApproval } from "../approvals/service.ts";
import { readClock } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import { timeOf } from "../lib/fields.ts";
import { accountKey, isExternalId } from "../lib/ids.ts";
import { idCursorOf, ownTimeCursorOf, PAGE_LIMIT, type PageQuery, timeCursor, toPage } from "../lib/pages.ts";
import { isoOrNull } from "../lib/time.ts";
import { listWebhooks as listAccountWebhooks } from "../webhooks/service.ts";
import { type AccountRef, toAccount } from "./account-service.ts";
import {
  APPROVAL_STATUSES,
  type ApprovalsQuery,
  type ListedApproval,
  type ListedPayment,
  type ListedWebhook,
  PAYMENT_STATUSES,
  type PaymentsQuery,
} from "./list-schemas.ts";
import * as store from "./list-store.ts";
import type { Account } from "./schemas.ts";

type Page<K extends string, T> = Record<K, T[]> & { nextCursor: string | null };

/** All accounts, newest first. @throws Problem bad_request {field: "cursor"} */
export async function listAccounts(
  db: Db,
  { cursor, limit = PAGE_LIMIT }: PageQuery,
): Promise<Page<"accounts", Account>> {
  const rows = await store.listAccounts(db, ownTimeCursorOf(cursor), limit + 1);
  const { page, nextCursor } = toPage(rows, limit, (row) =>
    timeCursor({ at: row.created_at, id: row.account_id }),
  );
  return { accounts: page.map(toAccount), nextCursor };
}

/**
 * Approvals of all accounts or of one, newest first, as they read now.
 * @throws Problem bad_request {field}
 */
export async function listApprovals(
  db: Db,
  publicUrl: string,
  { cursor, limit = PAGE_LIMIT, accountId, status, since }: ApprovalsQuery,
): Promise<Page<"approvals", ListedApproval>> {
  const before = idCursorOf(cursor);
  const bounds = {
    ...boundsOf(accountId, before),
    since: since === undefined ? undefined : timeOf("since", since),
  };
  const statuses = status === undefined ? APPROVAL_STATUSES : [status];
  const rows = await store.listApprovals(db, statuses, bounds, limit + 1);
  const now = await readClock(db);
  const { page, nextCursor } = toPage(rows, limit, ({ id }) => id);
  return { approvals: page.map((row) => toListedApproval(row, now, publicUrl)), nextCursor };
}

/**
 * Payment attempts of all accounts or of one, newest first, with those in doubt and since when.
 * @throws Problem bad_request {field: "cursor"}
 */
export async function listPayments(
  db: Db,
  { cursor, limit = PAGE_LIMIT, accountId, status }: PaymentsQuery,
): Promise<Page<"payments", ListedPayment>> {
  const statuses = status === undefined ? PAYMENT_STATUSES : [status];
  const rows = await store.listPayments(db, statuses, boundsOf(accountId, idCursorOf(cursor)), limit + 1);
  const { page, nextCursor } = toPage(rows, limit, ({ id }) => id);
  return { payments: page.map(toListedPayment), nextCursor };
}

/** The payment attempts that are not decided, the oldest first, and when each is read again; at most `limit`. */
export async function listUnderWay(db: Db, limit: number) {
  return (await store.listUnderWay(db, limit)).map((row) => ({
    ...toListedPayment(row),
    dueAt: isoOrNull(row.dueAt),
  }));
}

/** An account's webhooks, newest first, with how they stand. @throws Problem bad_request {field: "cursor"} */
export async function listWebhooks(
  db: Db,
  { accountId }: AccountRef,
  { cursor, limit = PAGE_LIMIT }: PageQuery,
): Promise<Page<"webhooks", ListedWebhook>> {
  const before = idCursorOf(cursor);
  const states = new Map((await store.listWebhookStates(db, accountId)).map((state) => [state.id, state]));
  // There are 10 at most.
  const rest = (await listAccountWebhooks(db, accountId))
    .sort((a, b) => (a.id < b.id ? 1 : -1))
    .filter(({ id }) => before === undefined || id < before);
  const { page, nextCursor } = toPage(rest, limit, ({ id }) => id);
  const webhooks = page.map((webhook) => {
    const state = states.get(webhook.id);
    return {
      ...webhook,
      failures: state?.failures ?? 0,
      nextAttemptAt: isoOrNull(state?.dueAt ?? null),
      slowSince: isoOrNull(state?.slowSince ?? null),
    };
  });
  return { webhooks, nextCursor };
}

/** The pending approvals that have waited longest, at most `limit`. */
export async function listWaiting(db: Db, publicUrl: string, limit: number): Promise<ListedApproval[]> {
  const now = await readClock(db);
  return (await store.listOldestPending(db, limit)).map((row) => toListedApproval(row, now, publicUrl));
}

/** The webhooks with deliveries that wait, those that have waited longest first, at most `limit`. */
export async function listFailingWebhooks(db: Db, limit: number) {
  return (await store.listFailingWebhooks(db, limit)).map(({ dueAt, slowSince, ...rest }) => ({
    ...rest,
    dueAt: isoOrNull(dueAt),
    slowSince: isoOrNull(slowSince),
  }));
}

/** An id that no account can have has no rows, as an unknown one. */
function boundsOf(id: string | undefined, before: string | undefined): store.Bounds {
  const accountId = id === undefined ? undefined : accountKey(isExternalId(id) ? id : "");
  return { accountId, before };
}

function toListedApproval(row: store.ListedApproval, now: Date, publicUrl: string): ListedApproval {
  const { terms } = row;
  const refunds = "refunds" in terms ? terms.refunds : undefined;
  const amounts = refunds ?? ("amountCents" in terms ? [terms] : []);
  return {
    ...toApproval(row, now, publicUrl),
    accountId: row.organizationId,
    amountCents: amounts.reduce((sum, { amountCents }) => sum + amountCents, 0),
    currency: amounts[0]?.currency ?? "usd",
    askedBy: row.tokenName,
    executingSince: isoOrNull(row.executingAt),
  };
}

function toListedPayment(row: store.ListedPayment): ListedPayment {
  const { organizationId, intentId, sentId, inDoubtSince, createdAt, resolvedAt, ...rest } = row;
  const { id, kind, status, approvalId, milestoneId, amountCents, currency, attempt, refusalCode } = rest;
  return {
    ...{ id, accountId: organizationId, kind, status, inDoubtSince: isoOrNull(inDoubtSince) },
    ...{ approvalId, milestoneId, amountCents, currency, attempt },
    ...{ processorId: intentId ?? sentId, refusalCode },
    ...{ createdAt: createdAt.toISOString(), resolvedAt: isoOrNull(resolvedAt) },
  };
}
