import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { DAY_SECONDS } from "../lib/time.ts";
import type { SessionKeys } from "./session-keys.ts";

/** A device's id (16 random bytes), or a tag that proves the id, alone or with an email; in base64url. */
const PART = /^[A-Za-z0-9_-]{22}$/;
const PART_BYTES = 16;
/** A browser remembers the last people who signed in with it. */
const EMAILS_AT_MOST = 5;
const LASTS_SECONDS = 365 * DAY_SECONDS;

type Deps = { config: { publicUrl: string }; keys: Pick<SessionKeys, "devices"> };

/** A browser in which a person has signed in before. */
export type Device = {
  id: string;
  /** Whether the person with that email has signed in with it before. */
  knows(email: string): boolean;
};

/** Reads the first validly signed device cookie of a `Cookie` header. Does no I/O. */
export function readDevice(deps: Deps, header: string | undefined): Device | undefined {
  const device = parse(deps, header);
  return (
    device && {
      id: device.id,
      knows: (email) =>
        device.tags.some((tag) => deps.keys.devices.some((key) => isTag(tag, device.id, email, key))),
    }
  );
}

/**
 * The `Set-Cookie` that marks a browser as one in which the person with that email has signed in. It grants no
 * access. Attempts to sign in as that person are counted by device, so that strangers' failures do not lock them out.
 * @returns `undefined` when the browser's own cookie already says so
 */
export function rememberDevice(deps: Deps, header: string | undefined, email: string): string | undefined {
  const [key = Buffer.alloc(0)] = deps.keys.devices;
  const known = parse(deps, header);
  if (known?.tags.some((tag) => isTag(tag, known.id, email, key))) return undefined;
  const id = known?.id ?? randomBytes(PART_BYTES).toString("base64url");
  const tags = [tagOf(id, email, key), ...(known?.tags ?? [])].slice(0, EMAILS_AT_MOST);
  const value = [id, tagOf(id, "", key), ...tags].join(".");
  const secure = isSecure(deps.config) ? "; Secure" : "";
  return `${nameOf(deps.config)}=${value}; Max-Age=${LASTS_SECONDS}; Path=/; HttpOnly${secure}; SameSite=Lax`;
}

function parse({ config, keys }: Deps, header: string | undefined) {
  const name = nameOf(config);
  for (const cookie of header?.split(";") ?? []) {
    const pair = cookie.trim();
    if (!pair.startsWith(`${name}=`)) continue;
    const [id = "", own = "", ...tags] = pair.slice(name.length + 1).split(".");
    if (![id, own, ...tags].every((part) => PART.test(part)) || tags.length > EMAILS_AT_MOST) continue;
    if (keys.devices.some((key) => isTag(own, id, "", key))) return { id, tags };
  }
  return undefined;
}

function isTag(tag: string, id: string, email: string, key: Buffer): boolean {
  return timingSafeEqual(Buffer.from(tag), Buffer.from(tagOf(id, email, key)));
}

function tagOf(id: string, email: string, key: Buffer): string {
  const text = `${id}\0${email.trim().toLowerCase()}`;
  return createHmac("sha256", key).update(text).digest().subarray(0, PART_BYTES).toString("base64url");
}

/**
 * Under https, the `__Host-` prefix makes the browser insist on Secure, Path=/ and no Domain, as for the session's
 * cookie.
 */
function nameOf(config: Deps["config"]): string {
  return isSecure(config) ? "__Host-countersign-device" : "countersign-device";
}

function isSecure({ publicUrl }: Deps["config"]): boolean {
  return publicUrl.startsWith("https:");
}
