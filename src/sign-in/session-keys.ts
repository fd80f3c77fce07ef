import { hkdfSync, randomBytes } from "node:crypto";

/** The keys derived from SESSION_SECRET, one list per use. The newest signs; older ones still verify. */
export type SessionKeys = {
  cookies: readonly string[];
  forms: readonly Buffer[];
  challenges: readonly Buffer[];
  devices: readonly Buffer[];
};

const BYTES = 32;

/** Derives the keys. Without a secret they are random and last as long as the process. */
export function deriveKeys(secrets: readonly Buffer[]): SessionKeys {
  const roots = secrets.length > 0 ? secrets : [randomBytes(BYTES)];
  return {
    cookies: roots.map((root) => derive(root, "cookies").toString("base64")),
    forms: roots.map((root) => derive(root, "forms")),
    challenges: roots.map((root) => derive(root, "challenges")),
    devices: roots.map((root) => derive(root, "devices")),
  };
}

function derive(root: Buffer, purpose: string): Buffer {
  return Buffer.from(hkdfSync("sha256", root, "", `countersign:${purpose}`, BYTES));
}
