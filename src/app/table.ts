import { stripVTControlCharacters } from "node:util";

export type Table = readonly Record<string, string | number | boolean | null>[];

const LONGEST = 60;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach a terminal
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Rows of the same columns as text for a terminal, which user-supplied names cannot steer. */
export function toText(rows: Table): string {
  const [first] = rows;
  if (first === undefined) return "none";
  const names = Object.keys(first);
  const cells = [names, ...rows.map((row) => names.map((name) => cellOf(row[name])))];
  const widths = names.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const lines = cells.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  "));
  return lines.map((line) => line.trimEnd()).join("\n");
}

function cellOf(value: string | number | boolean | null | undefined): string {
  if (value === null || value === undefined) return "-";
  const text = stripVTControlCharacters(String(value)).replaceAll(CONTROL, " ");
  return text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text;
}
