import { readFileSync } from "node:fs";
import { extname } from "node:path";
import type { Environment } from "./environment.ts";

/** A picture beside the name on every page, and in the browser's tab. */
export type Logo = { type: string; content: Buffer };

const TYPES: Record<string, string> = { ".svg": "image/svg+xml", ".png": "image/png" };
const BYTES_AT_MOST = 20 * 1024;
const OURS = new URL("logo.svg", import.meta.url);

/** The operator's logo, by the path in APP_LOGO; else the program's own. */
export function readLogo(env: Environment): Logo {
  const path = env.optional("APP_LOGO");
  if (path === undefined) return { type: "image/svg+xml", content: readFileSync(OURS) };
  const type = TYPES[extname(path).toLowerCase()];
  if (type === undefined) env.fault(`APP_LOGO must be the path of an .svg or a .png file, not ${path}`);
  try {
    const content = readFileSync(path);
    if (content.length > BYTES_AT_MOST)
      env.fault(`APP_LOGO must be at most ${BYTES_AT_MOST / 1024} KiB, as every page shows it: ${path}`);
    return { type: type ?? "", content };
  } catch (error) {
    env.fault(`APP_LOGO cannot be read: ${(error as NodeJS.ErrnoException).code ?? error}, ${path}`);
    return { type: "", content: Buffer.alloc(0) };
  }
}
