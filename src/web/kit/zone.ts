import { formatDeadline, formatMonth, formatTime } from "../../lib/time.ts";

const TIME = /<time(?: class="(deadline|month)")? datetime="([^"]+)">[^<]*<\/time>/g;
const FORMATS = { deadline: formatDeadline, month: formatMonth };

/** The page with each time as a clock in that zone says it. What people wrote cannot look like one: it is escaped. */
export function timesIn(page: string, zone: string, locale?: string): string {
  return page.replaceAll(TIME, (_, kind: keyof typeof FORMATS | undefined, at: string) => {
    const said = (kind === undefined ? formatTime : FORMATS[kind])(new Date(at), zone, locale);
    return `<time${kind === undefined ? "" : ` class="${kind}"`} datetime="${at}">${said}</time>`;
  });
}
