import { DAY_SECONDS } from "../lib/time.ts";
/** Names and values of headers that every answer has. */
export type SecurityHeaders = readonly (readonly [name: string, value: string])[];

const HSTS_SECONDS = 365 * DAY_SECONDS;

/**
 * What every answer tells browsers, whatever it is: to take it for what it says it is, to send no other site its
 * address, and, where people reach the service by https, to come by nothing else for a year. Other names of the
 * operator's domain are not spoken for.
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
