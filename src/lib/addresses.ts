import { isIPv4 } from "node:net";
import ipaddr from "ipaddr.js";

/** The bucket of a caller's address: one for an IPv4 address, one for a /64 of IPv6, which one household has. */
export function addressBucket(address: string): string {
  if (isIPv4(address)) return `address:${address}`;
  if (!ipaddr.isValid(address)) return "address:unknown";
  const parsed = ipaddr.process(address);
  return `address:${parsed instanceof ipaddr.IPv6 ? parsed.parts.slice(0, 4).join(":") : parsed.toString()}`;
}
