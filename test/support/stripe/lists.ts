import { type Desk, look } from "./books.ts";
import { missing, refused } from "./refusals.ts";

type Listed = { id: string; created?: number };
type Query = {
  limit?: number;
  starting_after?: string;
  ending_before?: string;
  created?: number | Partial<Record<"gt" | "gte" | "lt" | "lte", number>>;
};

/** A page of a list, newest first. @param items in the order in which they were made */
export function toList<T extends Listed>(url: string, items: readonly T[], query: Query): object {
  const { limit = 10, starting_after, ending_before, created } = query;
  const all = items
    .toReversed()
    .filter((item) => created === undefined || wasMade(item.created ?? 0, created));
  const at = (id: string, param: string) => {
    const index = all.findIndex((item) => item.id === id);
    if (index < 0) throw missing("object", id, param, false);
    return index;
  };
  if (ending_before !== undefined) {
    const end = at(ending_before, "ending_before");
    const start = Math.max(0, end - limit);
    return { object: "list", url, has_more: start > 0, data: all.slice(start, end) };
  }
  const start = starting_after === undefined ? 0 : at(starting_after, "starting_after") + 1;
  return { object: "list", url, has_more: all.length > start + limit, data: all.slice(start, start + limit) };
}

function wasMade(at: number, range: NonNullable<Query["created"]>): boolean {
  if (typeof range === "number") return at === range;
  const { gt = -1, gte = 0, lt = Number.POSITIVE_INFINITY, lte = Number.POSITIVE_INFINITY } = range;
  return at > gt && at >= gte && at < lt && at <= lte;
}

type Tree = { [field: string]: unknown };

/** Puts the objects themselves where their ids stand, along paths such as `latest_charge.balance_transaction`. */
export function expandPaths(desk: Desk, whole: object, paths: readonly string[]): object {
  const copy = structuredClone(whole) as Tree;
  for (const path of paths) expandPath(desk, copy, path.split("."), path);
  return copy;
}

function expandPath(desk: Desk, node: Tree, [field = "", ...rest]: string[], path: string): void {
  const value = node[field];
  if (Array.isArray(value)) {
    for (const item of value) expandPath(desk, item as Tree, rest, path);
    return;
  }
  if (value === null) return;
  const shelf = SHELVES[field];
  if (typeof value === "string" && shelf !== undefined)
    node[field] = structuredClone(find(desk, shelf, value));
  else if (typeof value !== "object") {
    throw refused(`This property cannot be expanded (${path}).`, { param: "expand" });
  }
  if (rest.length > 0) expandPath(desk, node[field] as Tree, rest, path);
}

const SHELVES: Record<string, "customers" | "methods" | "charges" | "intents" | "transactions" | "refunds"> =
  {
    customer: "customers",
    payment_method: "methods",
    charge: "charges",
    latest_charge: "charges",
    payment_intent: "intents",
    balance_transaction: "transactions",
  };

function find(desk: Desk, shelf: NonNullable<(typeof SHELVES)[string]>, id: string): object {
  const held = look(desk, shelf, id);
  if ("intent" in held) return held.intent;
  return "method" in held ? held.method : held;
}
