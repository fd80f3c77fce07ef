import { createHmac, randomBytes } from "node:crypto";
import { open, type Sealed, seal } from "../lib/sealed.ts";
import { DAY_SECONDS } from "../lib/time.ts";
import type { Secrets } from "./secret-store.ts";

const PREFIX = "whsec_";
const SECRET_BYTES = 32;
/** For how long a secret that was replaced signs beside the new one (docs/contract.md §3). */
export const OLD_SECRET_SECONDS = DAY_SECONDS;

/** What is signed: `id` is the delivery's, the same on every attempt; `timestamp` is the attempt's. */
export type SignedMessage = { id: string; eventType: string; timestamp: Date; body: string };

/** A new signing secret, `whsec_…`: shown once, kept sealed. */
export function newWebhookSecret(): string {
  return `${PREFIX}${randomBytes(SECRET_BYTES).toString("base64")}`;
}

/** The secrets that sign now, the newest first: two while a rotation lasts. @throws as `open` */
export function openSecrets(
  keys: readonly Buffer[],
  { secret, oldSecret }: Secrets,
  context: string,
): string[] {
  const sealed = oldSecret === null ? [secret] : [secret, oldSecret];
  return sealed.map((one) => open(keys, one, context));
}

/** The same secrets, sealed with the newest key. @throws as `open` */
export function resealPair(
  keys: readonly Buffer[],
  { secret, oldSecret }: Secrets,
  context: string,
): Secrets {
  const reseal = (sealed: Sealed) => seal(keys, open(keys, sealed, context), context);
  return { secret: reseal(secret), oldSecret: oldSecret && reseal(oldSecret) };
}

/**
 * The headers that name and sign a delivery, in both families (docs/contract.md §3): OpenTrain's, keyed by the
 * whole secret as it was handed out, and those of Standard Webhooks, keyed by the bytes that it encodes.
 * @param secrets one, or while a rotation lasts two: either alone verifies
 */
export function signatureHeaders(
  secrets: readonly string[],
  { id, eventType, timestamp, body }: SignedMessage,
): Record<string, string> {
  const seconds = String(Math.floor(timestamp.getTime() / 1_000));
  const ours = secrets.map((secret) => `v1=${hmac(secret, `${seconds}.${body}`, "hex")}`);
  const standard = secrets.map((secret) => `v1,${hmac(keyOf(secret), `${id}.${seconds}.${body}`, "base64")}`);
  return {
    "X-OpenTrain-Event": eventType,
    "X-OpenTrain-Delivery": id,
    "X-OpenTrain-Signature": [`t=${seconds}`, ...ours].join(","),
    "webhook-id": id,
    "webhook-timestamp": seconds,
    "webhook-signature": standard.join(" "),
  };
}

function keyOf(secret: string): Buffer {
  return Buffer.from(secret.slice(PREFIX.length), "base64");
}

function hmac(key: string | Buffer, text: string, encoding: "hex" | "base64"): string {
  return createHmac("sha256", key).update(text).digest(encoding);
}
