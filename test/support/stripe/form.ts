import { invalid } from "./refusals.ts";

/** A request's fields as they were sent: text at the leaves. */
export type Given = string | Given[] | { [field: string]: Given };

const ARRAY_KEY = /^(0|[1-9]\d{0,3})$/;

/** Reads Stripe's form encoding: `a[b]=1&c[0]=2&d[]=3`. */
export function readForm(text: string): Record<string, Given> {
  const root = new Map<string, Node>();
  for (const [name, value] of new URLSearchParams(text)) {
    const path = pathOf(name);
    let node = root;
    for (const [i, part] of path.entries()) {
      const key = part === "" ? String(node.size) : part;
      if (i === path.length - 1) node.set(key, value);
      else {
        const next = node.get(key);
        if (typeof next === "string") throw invalid(`Invalid ${name}`, name);
        const child = next ?? new Map<string, Node>();
        node.set(key, child);
        node = child;
      }
    }
  }
  return Object.fromEntries([...root].map(([key, node]) => [key, toGiven(node)]));
}

type Node = string | Map<string, Node>;

function pathOf(name: string): string[] {
  const match = /^([^[\]]+)((?:\[[^[\]]*\])*)$/.exec(name);
  if (match === null) throw invalid(`Invalid string: ${name}`, name);
  const [, first = "", rest = ""] = match;
  return [first, ...[...rest.matchAll(/\[([^[\]]*)\]/g)].map(([, part = ""]) => part)];
}

function toGiven(node: Node): Given {
  if (typeof node === "string") return node;
  const entries = [...node].map(([key, child]) => [key, toGiven(child)] as const);
  return entries.every(([key], i) => ARRAY_KEY.test(key) && Number(key) === i)
    ? entries.map(([, child]) => child)
    : Object.fromEntries(entries);
}
