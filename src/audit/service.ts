import type { Db, Trx } from "../database/connection.ts";
import { newId } from "../lib/ids.ts";
import { NO_ORIGIN, type Origin } from "../lib/origin.ts";
import { ownTimeCursorOf, timeCursor, toPage } from "../lib/pages.ts";
import type { AuditAction, AuditEntry } from "./schemas.ts";
import * as store from "./store.ts";

/** Who acts. A token is named with the root that it descends from, the operator by the fingerprint of the key used. */
export type Actor =
  | { kind: "person"; userId: string; name: string | null }
  | { kind: "token"; tokenId: string; rootId: string; name: string }
  | { kind: "operator"; key: string }
  | { kind: "service" };

/** Who acts, and from where: what an entry needs of a request. */
export type Act = { actor: Actor; origin: Origin };

/** What the service does by itself. */
export const BY_SERVICE: Act = { actor: { kind: "service" }, origin: NO_ORIGIN };

export type NewEntry = {
  /** Absent: each account of the person who acts, or of `ofUser`; the service itself where there is none. */
  accountId?: string;
  /** The person whom it concerns, where no account is named and another one acts. */
  ofUser?: string;
  actor: Actor;
  action: AuditAction;
  subject?: { kind: string; id: string };
  before?: Record<string, unknown>;
  after?: Record<string, unknown>;
  detail?: Record<string, unknown>;
  origin: Origin;
};

/** A signed-in person as the one who acts. */
export function byPerson({ userId, name }: { userId: string; name: string }): Actor {
  return { kind: "person", userId, name };
}

/** Where entries stand that belong to no account. */
export const SERVICE_ACCOUNT = "00000000-0000-0000-0000-000000000000";

/**
 * Records an audit entry in the transaction of the change itself: both commit or neither does. What concerns a person
 * and no single account, such as a sign-in, is recorded in each account that they are a member of.
 * @param now the transaction's time, by the database's clock
 */
export async function recordAudit(trx: Trx, entry: NewEntry, now: Date): Promise<void> {
  const accountIds = await accountsOf(trx, entry);
  await store.insertEntries(
    trx,
    accountIds.map((accountId) => ({ accountId, id: newId() })),
    {
      at: now,
      action: entry.action,
      ...actorColumns(entry.actor),
      subject_kind: entry.subject?.kind ?? null,
      subject_id: entry.subject?.id ?? null,
      before: entry.before === undefined ? null : JSON.stringify(entry.before),
      after: entry.after === undefined ? null : JSON.stringify(entry.after),
      detail: JSON.stringify(entry.detail ?? {}),
      address: entry.origin.address,
      request_id: entry.origin.requestId,
    },
  );
}

/**
 * An account's entries, the newest first (docs/contract.md §8).
 * @param cursor the `nextCursor` of the page before; absent: the newest page
 * @param actions only these; absent: all
 * @throws Problem bad_request {field: "cursor"}
 */
export async function listAudit(
  db: Db,
  accountId: string,
  {
    cursor,
    limit = 50,
    actions,
  }: {
    cursor?: string | undefined;
    limit?: number | undefined;
    actions?: readonly AuditAction[] | undefined;
  },
): Promise<{ entries: AuditEntry[]; nextCursor: string | null }> {
  const rows = await store.listEntries(
    db,
    accountId,
    { before: ownTimeCursorOf(cursor), actions },
    limit + 1,
  );
  const { page, nextCursor } = toPage(rows, limit, timeCursor);
  return { entries: page.map(toEntry), nextCursor };
}

async function accountsOf(trx: Trx, { accountId, actor, ofUser }: NewEntry): Promise<string[]> {
  if (accountId !== undefined) return [accountId];
  const userId = ofUser ?? (actor.kind === "person" ? actor.userId : undefined);
  const accountIds = userId === undefined ? [] : await store.listAccountsOf(trx, userId);
  return accountIds.length === 0 ? [SERVICE_ACCOUNT] : accountIds;
}

function actorColumns(actor: Actor) {
  const columns = { actor_kind: actor.kind, actor_id: null, actor_name: null, actor_root: null };
  switch (actor.kind) {
    case "person":
      return { ...columns, actor_id: actor.userId, actor_name: actor.name };
    case "token":
      return { ...columns, actor_id: actor.tokenId, actor_name: actor.name, actor_root: actor.rootId };
    case "operator":
      return { ...columns, actor_id: actor.key };
    case "service":
      return columns;
  }
}

function toEntry(row: store.AuditRow): AuditEntry {
  return {
    id: row.id,
    at: row.at.toISOString(),
    action: row.action,
    actor: { kind: row.actor_kind, id: row.actor_id, name: row.actor_name, rootId: row.actor_root },
    subject:
      row.subject_kind === null || row.subject_id === null
        ? null
        : { kind: row.subject_kind, id: row.subject_id },
    before: row.before,
    after: row.after,
    detail: row.detail,
    address: row.address,
    requestId: row.request_id,
  };
}
