import { DAY_SECONDS } from "../lib/time.ts";
/** The headers of every answer. */
export type SecurityHeaders = readonly (readonly [name: string, value: string])[];

const HSTS_SECONDS = 365 * DAY_SECONDS;

/**
 * Tells browsers not to guess content types, not to send our URLs to other sites, and, if the service has https, to use
 * nothing else for a year. Subdomains are not included, as they may belong to other services of the operator.
 */
export function securityHeaders(publicUrl: string): SecurityHeaders {
  return [
    ["x-content-type-options", "nosniff"],
    ["referrer-policy", "same-origin"],
    ...(publicUrl.startsWith("https:")
      ? [["strict-transport-security", `max-age=${HSTS_SECONDS}`] as const]
      : []),
  ];
}
