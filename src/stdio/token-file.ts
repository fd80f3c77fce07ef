import { randomUUID } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Static, Type } from "@sinclair/typebox";
import { compileStrict } from "../http/validation.ts";

/** A claim that was begun: what the human needs for it. */
export const StartedClaim = Type.Object({
  email: Type.String(),
  userCode: Type.String(),
  verificationUri: Type.String(),
  emailSent: Type.Boolean(),
  expiresAt: Type.String(),
});

/** What is kept of a registration. `claim` is there until a human has claimed the account. */
export const Kept = Type.Object({
  url: Type.String(),
  registrationId: Type.String(),
  token: Type.String({ pattern: "^ot_pat_[A-Za-z0-9_-]+$" }),
  scopes: Type.Array(Type.String()),
  claim: Type.Optional(
    Type.Object({
      token: Type.String(),
      expiresAt: Type.String(),
      /** Seconds between two polls, and before when there must not be another. */
      interval: Type.Number(),
      notBefore: Type.String(),
      started: Type.Optional(StartedClaim),
    }),
  ),
});
export type Kept = Static<typeof Kept>;

export type TokenFile = {
  path: string;
  /** @throws TokenFileError when it is not there for us alone, or is not what we wrote */
  read(): Kept | undefined;
  /** Makes the folder, and finds out whether it can be written. @throws TokenFileError */
  prepare(): void;
  /**
   * Writes `after`, if the file still holds `before`.
   * @returns whether it did: another process may have been faster
   * @throws TokenFileError
   */
  replace(before: Kept | undefined, after: Kept): Promise<boolean>;
};

/** Why the file cannot be used, and what the person it belongs to can do. */
export class TokenFileError extends Error {
  override name = "TokenFileError";
}

const isKept = compileStrict(Kept);
const AT_MOST = 65_536;
const CLOSED_FILE = 0o600;
const CLOSED_FOLDER = 0o700;
const OTHERS = 0o077;
/** The lock is held for two system calls: the owner of an older one has died. */
const LOCK_STALE_AFTER = 5_000;
const LOCK_RETRY = 20;

/** The file in which the token for one service is kept. Nothing is touched yet. */
export function openTokenFile(folder: string, url: string): TokenFile {
  const path = join(folder, `${encodeURIComponent(url)}.json`);
  const read = () => sayWhy(path, () => whereThere(() => readKept(folder, path, url)));
  const prepare = () => sayWhy(path, () => makeFolder(folder, path));
  const replace = async (before: Kept | undefined, after: Kept) => {
    prepare();
    const temporary = `${path}.${randomUUID()}.tmp`;
    try {
      sayWhy(path, () => writeThrough(temporary, `${JSON.stringify(after, null, 2)}\n`));
      await lock(path);
      try {
        if (JSON.stringify(read()) !== JSON.stringify(before)) return false;
        sayWhy(path, () => renameThrough(temporary, path));
        return true;
      } finally {
        rmSync(lockOf(path), { force: true });
      }
    } finally {
      rmSync(temporary, { force: true });
    }
  };
  return { path, read, prepare, replace };
}

function readKept(folder: string, path: string, url: string): Kept | undefined {
  assertClosed(lstatSync(folder), folder, "folder");
  // What is a link is not followed, and what is a pipe not waited for.
  const fd = openSync(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
  try {
    const stats = fstatSync(fd);
    assertClosed(stats, path, "file");
    const kept: unknown = stats.size > AT_MOST ? undefined : parse(readFileSync(fd, "utf8"));
    if (!isKept(kept) || (kept as Kept).url !== url) {
      throw new TokenFileError(`${path} does not hold what this program wrote. Move it away, and register.`);
    }
    return kept as Kept;
  } finally {
    closeSync(fd);
  }
}

/** @throws TokenFileError unless this user owns it, it is of the right kind, and no other user may read it */
function assertClosed(stats: Stats, path: string, kind: "file" | "folder"): void {
  if (kind === "file" ? !stats.isFile() : !stats.isDirectory()) {
    throw new TokenFileError(`${path} is no ${kind} of this program's (a link, perhaps). Move it away.`);
  }
  // Windows has neither owners nor modes in this sense: there, the profile's own permissions are what protects it.
  if (process.geteuid === undefined) return;
  if (stats.uid !== process.geteuid()) {
    throw new TokenFileError(
      `${path} belongs to another user. Move it away, or run this program as its owner.`,
    );
  }
  if ((stats.mode & OTHERS) !== 0) {
    const closed = (kind === "file" ? CLOSED_FILE : CLOSED_FOLDER).toString(8);
    throw new TokenFileError(
      `${path} is open to other users of this machine. If one may have read it, revoke the token; else: chmod ${closed} ${path}`,
    );
  }
}

function makeFolder(folder: string, path: string): void {
  mkdirSync(dirname(folder), { recursive: true, mode: CLOSED_FOLDER });
  try {
    mkdirSync(folder, { mode: CLOSED_FOLDER });
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
  }
  assertClosed(lstatSync(folder), folder, "folder");
  const probe = `${path}.${randomUUID()}.tmp`;
  closeSync(openSync(probe, "wx", CLOSED_FILE));
  rmSync(probe);
}

function writeThrough(path: string, text: string): void {
  const fd = openSync(path, "wx", CLOSED_FILE);
  try {
    writeFileSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function renameThrough(from: string, to: string): void {
  renameSync(from, to);
  if (process.platform === "win32") return;
  const fd = openSync(dirname(to), constants.O_RDONLY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

const lockOf = (path: string) => `${path}.lock`;

/** Excludes other processes between reading the file and replacing it. */
async function lock(path: string): Promise<void> {
  for (;;) {
    try {
      closeSync(openSync(lockOf(path), "wx", CLOSED_FILE));
      return;
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw unusable(path, error);
      const left = statSync(lockOf(path), { throwIfNoEntry: false });
      if (left !== undefined && Date.now() - left.mtimeMs > LOCK_STALE_AFTER) {
        rmSync(lockOf(path), { force: true });
      } else {
        await delay(LOCK_RETRY);
      }
    }
  }
}

function whereThere<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Where the system refuses, says so of the file by its name. */
function sayWhy<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof TokenFileError ? error : unusable(path, error);
  }
}

function unusable(path: string, error: unknown): TokenFileError {
  if (codeOf(error) === "ELOOP") return new TokenFileError(`${path} is a link. Move it away.`);
  return new TokenFileError(
    `${path} cannot be used (${codeOf(error)}). See to its permissions and the disk.`,
  );
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
