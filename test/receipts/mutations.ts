import { canonicalText } from "../../src/lib/canonical.ts";
import { parseStrictJson } from "../../src/receipts/strict-json.ts";

type Dice = (below: number) => number;
type Place = { holder: Record<string, unknown>; key: string; value: unknown };

/** A seeded random generator, so that a run can be repeated. */
export function dice(seed: number): Dice {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    return ((state ^ (state >>> 13)) >>> 0) % below;
  };
}

const BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** Every value of the file with its parent, arrays included. */
function placesOf(value: unknown): Place[] {
  if (typeof value !== "object" || value === null) return [];
  const holder = value as Record<string, unknown>;
  return Object.keys(holder).flatMap((key) => [
    { holder, key, value: holder[key] },
    ...placesOf(holder[key]),
  ]);
}

function rewritten(text: string, roll: Dice, change: (place: Place, places: Place[]) => void): string {
  const file: unknown = JSON.parse(text);
  const places = placesOf(file);
  change(places[roll(places.length)] as Place, places);
  return JSON.stringify(file);
}

/** Another value, of the same type where possible. */
function other(value: unknown, roll: Dice): unknown {
  if (typeof value === "number") return value + (roll(2) === 0 ? 1 : -1);
  if (typeof value === "boolean") return !value;
  if (value === null) return ["", 0, false, {}][roll(4)];
  if (typeof value !== "string") return null;
  if (value === "") return "x";
  const at = roll(value.length);
  const letter = value[at] === "a" ? "b" : "a";
  return [value.slice(0, at) + letter + value.slice(at + 1), value.slice(0, -1), `${value} `, null][roll(4)];
}

/** A string of the file, by its place in the text, with another spelling of it. */
function respelled(text: string, roll: Dice, pattern: RegExp, spell: (found: string) => string): string {
  const all = [...text.matchAll(pattern)];
  const found = all[roll(all.length)];
  if (found === undefined) return text;
  return text.slice(0, found.index) + spell(found[0]) + text.slice(found.index + found[0].length);
}

/** Ways to change a file. Each may change its content, or only how some parsers read it. */
const WAYS: Record<string, (text: string, roll: Dice) => string | Buffer> = {
  "one bit flipped": (text, roll) => {
    const bytes = Buffer.from(text);
    const at = roll(bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << roll(8));
    return bytes;
  },
  "a value changed": (text, roll) =>
    rewritten(text, roll, ({ holder, key, value }) => {
      holder[key] = other(value, roll);
    }),
  "a field taken out": (text, roll) =>
    rewritten(text, roll, ({ holder, key }) => {
      if (Array.isArray(holder)) holder.splice(Number(key), 1);
      else delete holder[key];
    }),
  "a field put in": (text, roll) =>
    rewritten(text, roll, ({ holder }) => {
      holder[["note", "Digest", "__proto", "v2", "constructor"][roll(5)] ?? ""] = roll(100);
    }),
  "an element twice": (text, roll) =>
    rewritten(text, roll, (_place, places) => {
      const lists = places.filter(({ value }) => Array.isArray(value) && value.length > 0);
      const list = lists[roll(lists.length)]?.value as unknown[];
      list.push(list[roll(list.length)]);
    }),
  "two values swapped": (text, roll) =>
    rewritten(text, roll, (one, places) => {
      const alike = places.filter(({ value }) => typeof value === typeof one.value);
      const two = alike[roll(alike.length)] as Place;
      // Swapping a value with its own parent would make a circle.
      if (typeof one.value === "object") one.holder[one.key] = "swapped";
      else [one.holder[one.key], two.holder[two.key]] = [two.value, one.value];
    }),
  "a key twice": (text, roll) =>
    respelled(text, roll, /"(\w+)":(?=["\d])/g, (found) => `${found}${roll(2) === 0 ? '""' : "0"},${found}`),
  "a number in other signs": (text, roll) =>
    respelled(
      text,
      roll,
      /(?<=":)-?\d+(?=[,}])/g,
      (found) => [`${found}.0`, `${found}e0`, `${found}E+0`][roll(3)] ?? "",
    ),
  "a letter in other signs": (text, roll) =>
    respelled(
      text,
      roll,
      /(?<=[":\w])[A-Za-z/](?=[\w"])/g,
      (found) => `\\u00${found.charCodeAt(0).toString(16).padStart(2, "0")}`,
    ),
  "bytes in other letters": (text, roll) =>
    respelled(text, roll, /(?<=":")[A-Za-z0-9_-]{40,}(?=")/g, (found) => {
      const last = BASE64URL.indexOf(found.slice(-1));
      const bits = `${found.slice(0, -1)}${BASE64URL[last ^ (1 + roll(3))]}`;
      return (
        [bits, `${found}=`, `${found}==`, found.replace("-", "+"), found.replace("_", "/"), `${found}\\n`][
          roll(6)
        ] ?? ""
      );
    }),
  "cut short": (text, roll) => text.slice(0, roll(text.length)),
  "something after the end": (text, roll) => text + ["}", "0", "//", "\0", text, "\ufeff"][roll(6)],
  "something before the beginning": (text, roll) => ["\ufeff", "\0", "[", "1"][roll(4)] + text,
};

export type Mutation = { way: string; bytes: Buffer };

/** Whether two files have the same canonical content, so that nothing was changed. */
function saysTheSame(text: string, bytes: Buffer): boolean {
  try {
    return canonicalText(parseStrictJson(bytes) as object) === canonicalText(JSON.parse(text));
  } catch {
    return false;
  }
}

/** Applies one random change to a file. */
export function mutate(text: string, roll: Dice): Mutation {
  const ways = Object.keys(WAYS);
  for (;;) {
    const way = ways[roll(ways.length)] ?? "";
    const bytes = Buffer.from(WAYS[way]?.(text, roll) ?? "");
    if (!saysTheSame(text, bytes)) return { way, bytes };
  }
}
