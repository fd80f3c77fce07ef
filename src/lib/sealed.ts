import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";

/** A secret as the database keeps it: which key opens it, and nonce, tag and ciphertext in one. */
export type Sealed = { keyId: string; bytes: Buffer };

const CIPHER = "aes-256-gcm";
const KEY_BYTES = 32;
const KEY_ID_BYTES = 6;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Encrypts a secret with the newest key (AES-256-GCM).
 * @param keys SECRETS_KEY, the newest first; what encrypts is derived from it for this purpose alone
 * @param context what the secret belongs to, such as its account and row: it opens nowhere else
 */
export function seal(keys: readonly Buffer[], plaintext: string, context: string): Sealed {
  const root = newestOf(keys);
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, derive(root, "sealing", KEY_BYTES), nonce);
  cipher.setAAD(Buffer.from(context));
  const ciphertext = Buffer.concat([cipher.update(plaintext, "utf8"), cipher.final()]);
  return { keyId: keyIdOf(root), bytes: Buffer.concat([nonce, cipher.getAuthTag(), ciphertext]) };
}

/**
 * Decrypts what `seal` made, with whichever of the keys made it.
 * @throws when that key is no longer among them, or when a bit or the context is another
 */
export function open(keys: readonly Buffer[], { keyId, bytes }: Sealed, context: string): string {
  const root = keys.find((key) => keyIdOf(key) === keyId);
  if (root === undefined) throw new Error(`SECRETS_KEY lacks the key that sealed this secret (${keyId})`);
  const decipher = createDecipheriv(
    CIPHER,
    derive(root, "sealing", KEY_BYTES),
    bytes.subarray(0, NONCE_BYTES),
    { authTagLength: TAG_BYTES },
  );
  decipher.setAAD(Buffer.from(context));
  decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
  const plaintext = [decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()];
  return Buffer.concat(plaintext).toString("utf8");
}

/** The id of the key that `seal` uses: the newest. */
export function newestKeyId(keys: readonly Buffer[]): string {
  return keyIdOf(newestOf(keys));
}

function newestOf([newest]: readonly Buffer[]): Buffer {
  if (newest === undefined) throw new TypeError("there is no key to seal with");
  return newest;
}

/** Tells keys apart in a row and in a log, and says nothing of them. */
export function keyIdOf(root: Buffer): string {
  return derive(root, "sealing key id", KEY_ID_BYTES).toString("hex");
}

function derive(root: Buffer, purpose: string, length: number): Buffer {
  return Buffer.from(hkdfSync("sha256", root, "", `countersign:${purpose}`, length));
}
