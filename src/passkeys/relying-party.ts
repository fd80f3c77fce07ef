import { isIP } from "node:net";

/** What passkeys are bound to (WebAuthn): the host that people see, and the origin that their browser says. */
export type RelyingParty = { id: string; name: string; origin: string };

/**
 * The relying party behind `PUBLIC_URL`. `undefined`: browsers make no passkeys there, as the address is an IP
 * address, or neither https nor localhost; then no page offers any.
 */
export function relyingPartyOf(config: { publicUrl: string; appName: string }): RelyingParty | undefined {
  const { protocol, hostname, origin } = new URL(config.publicUrl);
  if (isIP(hostname.replaceAll(/[[\]]/g, "")) !== 0) return undefined;
  const local = hostname === "localhost" || hostname.endsWith(".localhost");
  if (protocol !== "https:" && !local) return undefined;
  return { id: hostname, name: config.appName, origin };
}
