import { createHmac, hash, timingSafeEqual } from "node:crypto";

/**
 * The session's cookie. Under https its name makes the browser insist on Secure, Path=/ and no Domain, so that
 * no neighbouring host can plant one.
 */
export function cookieName(publicUrl: string): string {
  return isSecure(publicUrl) ? "__Host-countersign" : "countersign";
}

export function isSecure(publicUrl: string): boolean {
  return publicUrl.startsWith("https:");
}

/** What the database keeps of a session's token. */
export function tokenDigest(token: string): string {
  return hash("sha256", token, "base64url");
}

/**
 * The session token in a `Cookie` header, if it carries a signature of ours (better-auth's: the token, a dot,
 * HMAC-SHA-256 in base64). Keys that were rotated out still count until they are taken away.
 */
export function readSessionToken(
  header: string | undefined,
  name: string,
  keys: readonly string[],
): string | undefined {
  const pair = header?.split(";").find((part) => part.trim().startsWith(`${name}=`));
  const value = pair && decode(pair.slice(pair.indexOf("=") + 1).trim());
  const dot = value?.lastIndexOf(".") ?? -1;
  if (value === undefined || dot < 1) return undefined;
  const token = value.slice(0, dot);
  const signature = Buffer.from(value.slice(dot + 1), "base64");
  return keys.some((key) => isSignature(signature, token, key)) ? token : undefined;
}

/** The `Set-Cookie` of a new session: what better-auth sends for one, and `readSessionToken` reads. */
export function sessionCookie(publicUrl: string, token: string, key: string, maxAge: number): string {
  const signature = createHmac("sha256", key).update(token).digest("base64");
  const value = encodeURIComponent(`${token}.${signature}`);
  return `${cookieName(publicUrl)}=${value}; Max-Age=${maxAge}; ${attributes(publicUrl)}`;
}

/** The `Set-Cookie` that takes the session's cookie away. */
export function expiredCookie(publicUrl: string): string {
  return `${cookieName(publicUrl)}=; Max-Age=0; ${attributes(publicUrl)}`;
}

function attributes(publicUrl: string): string {
  return `Path=/; HttpOnly${isSecure(publicUrl) ? "; Secure" : ""}; SameSite=Lax`;
}

function isSignature(signature: Buffer, token: string, key: string): boolean {
  const expected = createHmac("sha256", key).update(token).digest();
  return signature.length === expected.length && timingSafeEqual(signature, expected);
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
