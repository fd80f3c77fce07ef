const COOKIE = /(?:^|;)\s*zone=([\w+/-]{1,64})\s*(?:;|$)/;

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

/** `near Madrid`, by a zone that names a place; `undefined` for one that does not, such as UTC. */
export function placeOf(zone: string): string | undefined {
  const place = /^(?!Etc\/)[^/]+\/(?:.*\/)?([^/]+)$/.exec(zone)?.[1];
  return place === undefined ? undefined : `near ${place.replaceAll("_", " ")}`;
}
