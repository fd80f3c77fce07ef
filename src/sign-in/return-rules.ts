const FALLBACK = "/approvals";
/** A path of visible ASCII that begins with one slash. No backslash: browsers read it as a slash. */
const PATH = /^\/(?!\/)[!-[\]-~]*$/;

/**
 * Where to go after sign-in: a normalised path on this origin (docs/contract.md §7). An ambiguous path leads to the inbox.
 */
export function safeReturnTo(wanted: string | undefined): string {
  if (wanted === undefined || !PATH.test(wanted)) return FALLBACK;
  const origin = "http://here.invalid";
  if (!URL.canParse(wanted, origin)) return FALLBACK;
  const { origin: found, pathname, search } = new URL(wanted, origin);
  const twoWays = pathname.startsWith("//") || /%(2f|5c|0[0-9a-f]|25)/i.test(pathname);
  if (found !== origin || twoWays || /^\/sign-(in|out)(\/|$)/.test(pathname)) return FALLBACK;
  return pathname + search;
}
