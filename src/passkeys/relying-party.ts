import { isIP } from "node:net";

/** What passkeys are bound to (WebAuthn): the host that people see, and the origin that their browser reports. */
export type RelyingParty = { id: string; name: string; origin: string };

/**
 * The relying party of `PUBLIC_URL`. `undefined` where browsers create no passkeys: at an IP address, or without
 * https except on localhost. Pages then offer none.
 */
export function relyingPartyOf(config: { publicUrl: string; appName: string }): RelyingParty | undefined {
  const { protocol, hostname, origin } = new URL(config.publicUrl);
  if (isIP(hostname.replaceAll(/[[\]]/g, "")) !== 0) return undefined;
  const local = hostname === "localhost" || hostname.endsWith(".localhost");
  if (protocol !== "https:" && !local) return undefined;
  return { id: hostname, name: config.appName, origin };
}
