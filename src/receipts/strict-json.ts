/** Text that is not JSON, or that JSON would write differently. */
export class NotStrict extends Error {
  override name = "NotStrict";
}

/**
 * Parses JSON that has one encoding only, apart from white space and key order: no duplicate keys, no `1.0`, no
 * `\u0041`, nothing after the end, no broken UTF-8. So every other parser reads the same values.
 * @throws NotStrict
 */
export function parseStrictJson(bytes: Uint8Array): unknown {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    const value: unknown = JSON.parse(text);
    const compact = text.replaceAll(/("(?:[^"\\]|\\.)*")|[ \t\r\n]+/g, "$1");
    if (JSON.stringify(value) === compact) return value;
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof TypeError)) throw error;
    throw new NotStrict("it is not JSON, or not all of it");
  }
  throw new NotStrict(
    "it was rewritten since it was issued: it holds a key twice or another spelling of a value",
  );
}
