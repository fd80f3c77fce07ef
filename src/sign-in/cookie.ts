import { createHmac, hash, randomBytes, timingSafeEqual } from "node:crypto";

/** A session's token: 32 random bytes in base64url. */
const TOKEN = /^[A-Za-z0-9_-]{43}$/;
const TOKEN_BYTES = 32;
/** A browser keeps one cookie per path and host, so a header with more than a few of our name is forged. */
const TOKENS_AT_MOST = 8;

/**
 * The name of the session's cookie. Under https, its `__Host-` prefix makes the browser insist on Secure, Path=/ and
 * no Domain, so that no neighbouring host can plant one.
 */
export function cookieName(publicUrl: string): string {
  return isSecure(publicUrl) ? "__Host-countersign" : "countersign";
}

function isSecure(publicUrl: string): boolean {
  return publicUrl.startsWith("https:");
}

/** A new token, and the digest that the database stores. */
export type NewToken = { token: string; digest: Buffer };

export function newToken(): NewToken {
  const token = randomBytes(TOKEN_BYTES).toString("base64url");
  return { token, digest: tokenDigest(token) };
}

export function tokenDigest(token: string): Buffer {
  return hash("sha256", token, "buffer");
}

/**
 * Reads the session tokens in a `Cookie` header that carry a valid signature (the token, a dot, HMAC-SHA-256), in the
 * order of the header. A browser may send several cookies of one name, with an old one first. Signatures by rotated
 * keys are valid until those keys are removed.
 */
export function readSessionTokens(
  header: string | undefined,
  name: string,
  keys: readonly string[],
): string[] {
  const tokens = new Set<string>();
  for (const part of header?.split(";") ?? []) {
    const pair = part.trim();
    if (!pair.startsWith(`${name}=`)) continue;
    const [token = "", signature = "", rest] = pair.slice(name.length + 1).split(".");
    if (rest === undefined && TOKEN.test(token) && keys.some((key) => isSignature(signature, token, key)))
      tokens.add(token);
    if (tokens.size === TOKENS_AT_MOST) break;
  }
  return [...tokens];
}

/** The `Set-Cookie` of a session's token. */
export function sessionCookie(publicUrl: string, token: string, key: string, maxAge: number): string {
  const value = `${token}.${sign(token, key).toString("base64url")}`;
  return `${cookieName(publicUrl)}=${value}; Max-Age=${maxAge}; ${attributes(publicUrl)}`;
}

/** The `Set-Cookie` that removes the session's cookie. */
export function expiredCookie(publicUrl: string): string {
  return `${cookieName(publicUrl)}=; Max-Age=0; ${attributes(publicUrl)}`;
}

function attributes(publicUrl: string): string {
  return `Path=/; HttpOnly${isSecure(publicUrl) ? "; Secure" : ""}; SameSite=Lax`;
}

function isSignature(text: string, token: string, key: string): boolean {
  const given = Buffer.from(text, "base64url");
  const expected = sign(token, key);
  return given.length === expected.length && timingSafeEqual(given, expected);
}

function sign(token: string, key: string): Buffer {
  return createHmac("sha256", key).update(token).digest();
}
