import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import { badField } from "../lib/problems.ts";

/** Which addresses that are not public may be reached all the same. */
export type TargetRules = {
  /** Hosts that the operator named in WEBHOOK_PRIVATE_HOSTS; each may be anywhere, and speak plain http. */
  privateHosts: readonly string[];
  /** Whether this machine itself may be: the demo alone. */
  allowLocalhost: boolean;
};

const MAX_LENGTH = 2_048;
const LOCAL = new Set(["localhost", "127.0.0.1", "::1"]);
const GLOBAL_IPV6 = ipaddr.parseCIDR("2000::/3");
const NAT64 = ipaddr.parseCIDR("64:ff9b::/96");
// Public by its number, but Azure's own agent answers there to every machine in its cloud.
const AZURE_HOST = "168.63.129.16";

/** The rules that the service was set up with. */
export function targetRules(config: { webhookPrivateHosts: readonly string[]; demo: boolean }): TargetRules {
  return { privateHosts: config.webhookPrivateHosts, allowLocalhost: config.demo };
}

/**
 * Whether a webhook may be sent to this URL, as far as the URL itself tells; where its name leads is seen
 * when it is connected to.
 * @returns what is wrong with it, for people; `undefined` when nothing is
 */
export function checkWebhookUrl(url: string, rules: TargetRules): string | undefined {
  if (url.length > MAX_LENGTH) return `The URL must have at most ${MAX_LENGTH} characters.`;
  // The parser would drop line breaks and trim: what is stored would not be what is called.
  if (!URL.canParse(url) || /[\s\p{Cc}]/u.test(url)) {
    return "The URL must be a whole one, such as https://example.com/webhooks.";
  }
  const target = new URL(url);
  const host = hostOf(target);
  const trusted = isNamed(host, rules) || (rules.allowLocalhost && LOCAL.has(host));
  if (target.protocol !== "https:" && !(target.protocol === "http:" && trusted)) {
    return "The URL must begin with https://.";
  }
  if (target.username !== "" || target.password !== "") {
    return "The URL must hold no user name or password: what is sent to it is signed instead.";
  }
  if (host.endsWith(".")) return "Write the host of the URL without a dot at its end.";
  const local = host === "localhost" || host.endsWith(".localhost");
  if (!trusted && (local || (isIP(host) !== 0 && !isPublicAddress(host)))) {
    return "The URL must lead to a public address, not into a private network.";
  }
  return undefined;
}

/** @throws Problem bad_request {field: "url"} when a webhook may not be sent to this URL */
export function assertSendable(url: string, rules: TargetRules): void {
  const fault = checkWebhookUrl(url, rules);
  if (fault !== undefined) throw badField("url", fault);
}

/** Whether a connection to `address` may be made for `host`, which led there. */
export function mayReach(
  host: string,
  address: string,
  rules: TargetRules,
  isPublic: (address: string) => boolean = isPublicAddress,
): boolean {
  if (isNamed(host, rules)) return true;
  if (rules.allowLocalhost && LOCAL.has(host)) return LOCAL.has(address);
  return isPublic(address);
}

/** Whether the operator named the host in WEBHOOK_PRIVATE_HOSTS. */
export function isNamed(host: string, { privateHosts }: TargetRules): boolean {
  return privateHosts.includes(host);
}

/**
 * Whether an IP address belongs to the public internet: unicast, global, not reserved for private networks. An IPv6 address
 * that wraps an IPv4 address is judged by that one if networks translate it (mapped, NAT64), else refused.
 */
export function isPublicAddress(address: string): boolean {
  // A zone names a link, and nothing public is tied to one.
  if (address.includes("%") || !ipaddr.isValid(address)) return false;
  const parsed = ipaddr.process(address);
  if (parsed instanceof ipaddr.IPv4) return parsed.range() === "unicast" && parsed.toString() !== AZURE_HOST;
  if (parsed.match(NAT64)) return isPublicAddress(parsed.toByteArray().slice(12).join("."));
  return parsed.range() === "unicast" && parsed.match(GLOBAL_IPV6);
}

/** The host of a URL, an IPv6 address without its brackets. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, "$1");
}
