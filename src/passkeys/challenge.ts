import { createHmac, hash, randomBytes, timingSafeEqual } from "node:crypto";
import { decodeClientDataJSON } from "@simplewebauthn/server/helpers";
import { addSeconds, MINUTE_SECONDS } from "../lib/time.ts";
import type { SessionKeys } from "../sign-in/service.ts";

/** How long a passkey may take to answer. */
export const CHALLENGE_SECONDS = 5 * MINUTE_SECONDS;

const NONCE_BYTES = 16;
const TIME_BYTES = 6;
const PURPOSE_BYTES = 32;
const HEAD_BYTES = NONCE_BYTES + TIME_BYTES + PURPOSE_BYTES;

/** What a challenge is for. A sign-in has no session yet. */
export type Ceremony = { sessionId: string | undefined; purpose: string };

/** A challenge that came back and is still valid. */
export type Challenge = { bytes: Buffer; expiresAt: Date };

/**
 * Creates a challenge that carries its time, the digest of its purpose, and a MAC over both and the session. So the
 * answer shows later what was agreed to. Creating one writes no row, so requests cannot fill the database; only
 * answered challenges are stored (`answerChallenge`).
 * @param now the database's time
 */
export function newChallenge(keys: SessionKeys, ceremony: Ceremony, now: Date): Buffer {
  const [newest] = keys.challenges;
  if (newest === undefined) throw new TypeError("no key to sign challenges with");
  const head = Buffer.alloc(HEAD_BYTES);
  randomBytes(NONCE_BYTES).copy(head);
  head.writeUIntBE(now.getTime(), NONCE_BYTES, TIME_BYTES);
  digestOf(ceremony).copy(head, NONCE_BYTES + TIME_BYTES);
  return Buffer.concat([head, sign(newest, ceremony, head)]);
}

/**
 * The challenge in a passkey's answer, if it was issued for this ceremony and has not expired. The caller checks
 * whether it was answered before.
 */
export function readChallenge(
  keys: SessionKeys,
  ceremony: Ceremony,
  clientDataJSON: string,
  now: Date,
): Challenge | undefined {
  const bytes = challengeIn(clientDataJSON);
  if (bytes === undefined || bytes.length <= HEAD_BYTES) return undefined;
  const head = bytes.subarray(0, HEAD_BYTES);
  const given = bytes.subarray(HEAD_BYTES);
  if (!head.subarray(NONCE_BYTES + TIME_BYTES).equals(digestOf(ceremony))) return undefined;
  const ours = keys.challenges.some((key) => {
    const expected = sign(key, ceremony, head);
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
  const expiresAt = addSeconds(new Date(head.readUIntBE(NONCE_BYTES, TIME_BYTES)), CHALLENGE_SECONDS);
  return ours && expiresAt > now ? { bytes, expiresAt } : undefined;
}

function challengeIn(clientDataJSON: string): Buffer | undefined {
  try {
    const { challenge } = decodeClientDataJSON(clientDataJSON);
    return typeof challenge === "string" ? Buffer.from(challenge, "base64url") : undefined;
  } catch {
    return undefined;
  }
}

function digestOf({ purpose }: Ceremony): Buffer {
  return hash("sha256", purpose, "buffer");
}

function sign(key: Buffer, { sessionId = "" }: Ceremony, head: Buffer): Buffer {
  return createHmac("sha256", key).update(`${sessionId}\0`).update(head).digest();
}
