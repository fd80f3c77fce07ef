import { createHmac, timingSafeEqual } from "node:crypto";
import type { SessionKeys } from "./session-keys.ts";

/** The field of a form that holds its token. */
export const FORM_TOKEN_FIELD = "form_token";

type Session = { sessionId: string };

/**
 * The token that a page puts into a form, so that only this page can send it. Bound to the session and to what the
 * form does (docs/contract.md §7).
 * @param purpose what the form does and to what, such as `approval:<id>:<statement digest>`
 */
export function formToken(keys: SessionKeys, session: Session, purpose: string): string {
  const [newest] = keys.forms;
  if (newest === undefined) throw new TypeError("no key to sign form tokens with");
  return sign(newest, session, purpose).toString("base64url");
}

/** Whether `presented` is the token of this session for this purpose. */
export function checkFormToken(
  keys: SessionKeys,
  session: Session,
  purpose: string,
  presented: unknown,
): boolean {
  if (typeof presented !== "string") return false;
  const given = Buffer.from(presented, "base64url");
  return keys.forms.some((key) => {
    const expected = sign(key, session, purpose);
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
}

function sign(key: Buffer, { sessionId }: Session, purpose: string): Buffer {
  return createHmac("sha256", key).update(`${sessionId}\0${purpose}`).digest();
}
