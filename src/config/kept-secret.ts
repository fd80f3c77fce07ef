import { randomBytes } from "node:crypto";
import { link, mkdir, readFile, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { StartError } from "../lib/start-error.ts";

const BYTES = 32;

/**
 * A secret that lasts from start to start where none was given: 32 random bytes in a file that its owner
 * alone may read. Two starts at once end with the same one.
 * @throws StartError when the file cannot be read, or holds something else
 */
export async function keepSecret(dataDir: string, name: string): Promise<Buffer> {
  const file = join(dataDir, name);
  await mkdir(dataDir, { recursive: true });
  const draft = `${file}.${process.pid}.${randomBytes(4).toString("hex")}`;
  await writeFile(draft, randomBytes(BYTES).toString("base64"), { flag: "wx", mode: 0o600 });
  // Whole or not at all, and never over one that is there.
  await link(draft, file).catch((error: unknown) => {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  });
  await unlink(draft);
  const secret = Buffer.from(await readFile(file, "utf8"), "base64");
  if (secret.length === BYTES) return secret;
  throw new StartError(
    `${file} is damaged. Restore it from a copy, or remove it: then people must sign in again, webhooks must be recreated, and receipts are signed with a new key.`,
  );
}
