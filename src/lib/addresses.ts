import { isIPv4 } from "node:net";
import ipaddr from "ipaddr.js";

const IPV4_NETWORK_PARTS = 3;
const IPV6_HOUSEHOLD_PARTS = 4;
const IPV6_NETWORK_PARTS = 3;

/** The bucket of a caller's address: one for an IPv4 address, one for a /64 of IPv6, which one household has. */
export function addressBucket(address: string): string {
  if (isIPv4(address)) return `address:${address}`;
  const parsed = parse(address);
  if (parsed === undefined) return "address:unknown";
  return `address:${parsed instanceof ipaddr.IPv6 ? parsed.parts.slice(0, IPV6_HOUSEHOLD_PARTS).join(":") : parsed.toString()}`;
}

/** The bucket of the network that an address is in: a /24 of IPv4, a /48 of IPv6, which one subscriber may have. */
export function networkBucket(address: string): string {
  const parsed = parse(address);
  if (parsed === undefined) return "network:unknown";
  return parsed instanceof ipaddr.IPv6
    ? `network:${parsed.parts.slice(0, IPV6_NETWORK_PARTS).join(":")}`
    : `network:${parsed.octets.slice(0, IPV4_NETWORK_PARTS).join(".")}`;
}

/** An address as proxies forward it, without its port, brackets, quotes and zone; anything else as it is. */
export function withoutPort(forwarded: string): string {
  const text = forwarded.trim().replace(/^"(.*)"$/, "$1");
  const [, v6] = /^\[([^\]]*)\](?::\d+)?$/.exec(text) ?? [];
  const [, v4] = /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(text) ?? [];
  return (v6 ?? v4 ?? text).replace(/%.*$/, "");
}

/** Whether a host, as it stands in a URL or a `Host` header without its port, is this machine itself. */
export function isLoopback(host: string): boolean {
  if (host === "localhost") return true;
  return parse(host.replace(/^\[(.*)\]$/, "$1"))?.range() === "loopback";
}

function parse(address: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  return ipaddr.isValid(address) ? ipaddr.process(address) : undefined;
}
