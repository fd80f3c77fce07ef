import { readFileSync } from "node:fs";
import { join } from "node:path";

/** What a client can do here, in the columns of the table of docs/mcp.md. */
export type Row = { http: boolean; stdio: boolean; structured: boolean; pages: boolean };

/** What docs/mcp.md says of a client. */
export function readRow(client: string): Row {
  const guide = readFileSync(join(import.meta.dirname, "../../docs/mcp.md"), "utf8");
  const line = guide.split("\n").find((one) => one.startsWith(`| ${client} |`));
  if (line === undefined) throw new TypeError(`docs/mcp.md has no row for ${client}`);
  const [http, stdio, structured, pages] = line
    .split("|")
    .slice(2)
    .map((cell) => cell.trim() === "yes");
  return {
    http: http === true,
    stdio: stdio === true,
    structured: structured === true,
    pages: pages === true,
  };
}
