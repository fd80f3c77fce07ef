import type { Db } from "../database/connection.ts";
import { isUuid } from "../lib/ids.ts";
import { toPage } from "../lib/pages.ts";
import * as store from "./inbox-store.ts";
import { type ApprovalState, withState } from "./wire.ts";

export type { ApprovalState };

export type InboxItem = store.InboxRow & { state: ApprovalState };
export type PendingPoint = store.PendingPoint;

export type InboxQuery = store.InboxFilter & {
  state?: ApprovalState | undefined;
  /** Where the pending ones go on; then there are no ended ones. */
  after?: PendingPoint | undefined;
  /** Where the ended ones go on; then there are no pending ones. */
  before?: string | undefined;
};

export type Inbox = {
  pending: InboxItem[];
  /** Of all that match, on other pages too. In cents. */
  count: number;
  amountCents: number;
  nextPending: PendingPoint | null;
  ended: InboxItem[];
  /** Where the ended ones go on. With a filter there may be none that match. */
  nextEnded: string | null;
  payees: string[];
  agents: string[];
};

const PAGE = 50;
/** So many approvals of each account a search of the ended ones looks at for one page. */
const SEARCHED = 1_000;
/** The names to filter by are those of so many newest approvals of each account. */
const NAMED = 200;

/**
 * A page of the accounts' approvals (docs/contract.md §7): the pending ones by their deadline, then the ended ones, newest
 * first. Each read goes along an index and is bounded, whatever there is.
 */
export async function readInbox(db: Db, accountIds: readonly string[], query: InboxQuery): Promise<Inbox> {
  const [pending, ended, ...names] = await Promise.all([
    readPending(db, accountIds, query),
    readEnded(db, accountIds, query),
    ...accountIds.map((accountId) => store.listNames(db, accountId, NAMED)),
  ]);
  const sorted = (all: string[]) => [...new Set(all)].sort((one, other) => one.localeCompare(other));
  return {
    ...pending,
    ...ended,
    payees: sorted(names.flatMap(({ payees }) => payees)),
    agents: sorted(names.flatMap(({ agents }) => agents)),
  };
}

async function readPending(db: Db, accountIds: readonly string[], query: InboxQuery) {
  const { state, after, before } = query;
  const none = { pending: [], count: 0, amountCents: 0, nextPending: null };
  if (before !== undefined || (state !== undefined && state !== "waiting" && state !== "executing"))
    return none;
  const [rows, sum] = await Promise.all([
    store.listPending(db, accountIds, query, { after, limit: PAGE + 1 }),
    store.sumPending(db, accountIds, query),
  ]);
  const { page, nextCursor: nextPending } = toPage(rows, PAGE, ({ expiresAt, id }) => ({ expiresAt, id }));
  return { pending: page.map(withState), ...sum, nextPending };
}

async function readEnded(db: Db, accountIds: readonly string[], query: InboxQuery) {
  const { state, after, payee, agent, text } = query;
  const before = query.before !== undefined && isUuid(query.before) ? query.before : undefined;
  if (after !== undefined || state === "waiting" || state === "executing")
    return { ended: [], nextEnded: null };
  const searches = [state, payee, agent, text].some((one) => one !== undefined);
  // The accounts are read one by one: only so does Postgres know how much there is in each.
  const edges = searches
    ? await Promise.all(accountIds.map((accountId) => store.findEdge(db, accountId, before, SEARCHED)))
    : [];
  // Down to the newest of them every account has been searched.
  const edge = edges.reduce(
    (newest, one) => (newest === null || (one !== null && one > newest) ? one : newest),
    null,
  );
  const filter = { payee, agent, text, status: state };
  const range = { before, edge, window: searches ? SEARCHED + 1 : PAGE + 1, limit: PAGE + 1 };
  const lists = await Promise.all(
    accountIds.map((accountId) => store.listEnded(db, accountId, filter, range)),
  );
  const rows = lists.flat().sort((one, other) => (one.id < other.id ? 1 : -1));
  const ended = rows.slice(0, PAGE).map(withState);
  return { ended, nextEnded: rows.length > PAGE ? (ended.at(-1)?.id ?? null) : edge };
}
