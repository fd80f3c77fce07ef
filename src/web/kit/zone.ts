import { formatDeadline, formatMonth, formatTime } from "../../lib/time.ts";

const COOKIE = /(?:^|;)\s*zone=([\w+/-]{1,64})\s*(?:;|$)/;
const TIME = /<time(?: class="(deadline|month)")? datetime="([^"]+)">[^<]*<\/time>/g;
const FORMATS = { deadline: formatDeadline, month: formatMonth };

/**
 * The zone of the reader's clock, as `zone.js` has named it in a cookie.
 * @returns an IANA name; `UTC` without the cookie, or for an unknown zone
 */
export function readZone(cookies: string | undefined): string {
  const name = COOKIE.exec(cookies ?? "")?.[1] ?? "UTC";
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone;
  } catch {
    return "UTC";
  }
}

/** The page with each time as a clock in that zone says it. What people wrote cannot look like one: it is escaped. */
export function timesIn(page: string, zone: string, locale?: string): string {
  return page.replaceAll(TIME, (_, kind: keyof typeof FORMATS | undefined, at: string) => {
    const said = (kind === undefined ? formatTime : FORMATS[kind])(new Date(at), zone, locale);
    return `<time${kind === undefined ? "" : ` class="${kind}"`} datetime="${at}">${said}</time>`;
  });
}
