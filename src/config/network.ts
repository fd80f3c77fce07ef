import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import { isLoopback } from "../lib/addresses.ts";
import type { Environment } from "./environment.ts";

/** Plain connections expose passwords and the links in mails, so SMTP without TLS must be configured explicitly. */
export function readSmtp(env: Environment): { smtpUrl: string | undefined; smtpRequireTls: boolean } {
  const smtpUrl = env.url("SMTP_URL", ["smtp:", "smtps:"]);
  const host = smtpUrl === undefined ? "" : new URL(smtpUrl).hostname.toLowerCase();
  const plaintextHost = env.optional("SMTP_PLAINTEXT_HOST")?.toLowerCase();
  if (plaintextHost !== undefined && plaintextHost !== host) {
    env.fault("SMTP_PLAINTEXT_HOST must be the host of SMTP_URL, as it stands there");
  }
  return { smtpUrl, smtpRequireTls: !isLoopback(host) && plaintextHost !== host };
}

export function readMailFrom(env: Environment, appName: string, publicUrl: string): string {
  const host = URL.canParse(publicUrl) ? new URL(publicUrl).hostname : "localhost";
  const from = env.text("MAIL_FROM", `"${appName.replaceAll(/["\\\r\n]/g, "")}" <no-reply@${host}>`);
  if (!/^[^\r\n]*[^\s<>@]+@[^\s<>@]+>?$/.test(from)) {
    env.fault("MAIL_FROM must be an address, or a name and an address: Countersign <pay@example.com>");
  }
  return from;
}

/** Origins as browsers send them: nothing after the host and port, and no `*`. */
export function readCorsOrigins(env: Environment): string[] {
  const origins = env.list("CORS_ORIGINS");
  const right = (given: string) => URL.canParse(given) && new URL(given).origin === given && given !== "null";
  if (!origins.every(right)) {
    env.fault("CORS_ORIGINS must be origins, such as https://app.example.com,http://localhost:5173");
  }
  return origins;
}

/** As RFC 9116 has it: a mail address or a page, as a URI. */
export function readSecurityContact(env: Environment): string | undefined {
  const contact = env.optional("SECURITY_CONTACT");
  if (contact !== undefined && !/^(mailto:[^\s@]+@[^\s@]+|https:\/\/\S+)$/.test(contact))
    env.fault(
      "SECURITY_CONTACT must be mailto:security@example.com, or a page: https://example.com/security",
    );
  return contact;
}

/** Host names and addresses as they stand in a URL, an IPv6 address without its brackets; no ports. */
export function readPrivateHosts(env: Environment): string[] {
  return env.list("WEBHOOK_PRIVATE_HOSTS").map((given) => {
    const url = URL.parse(`http://${given.includes("::") ? `[${given}]` : given}`);
    const host = url?.hostname.replace(/^\[(.*)\]$/, "$1");
    if (url?.host === url?.hostname && url?.pathname === "/" && host) return host;
    env.fault(`WEBHOOK_PRIVATE_HOSTS must be host names or addresses alone, not ${given}`);
    return given;
  });
}

export function readTrustProxy(env: Environment): number | string | false {
  const value = env.optional("TRUST_PROXY");
  if (value === undefined || value === "0") return false;
  if (/^[1-9]\d?$/.test(value)) return Number(value);
  if (value.split(",").every((range) => isRange(range.trim()))) return value;
  env.fault("TRUST_PROXY must be a number of proxies or their address ranges (10.0.0.0/8, …), never all");
  return false;
}

/** An address, or a range of them in CIDR form that is not all there are. */
function isRange(given: string): boolean {
  const [address = "", bits] = given.split("/");
  if (isIP(address) === 0 || address.includes("%")) return false;
  return bits === undefined || (ipaddr.isValidCIDR(given) && ipaddr.parseCIDR(given)[1] > 0);
}
