/** What is no JSON, or would be another text if it were written as it was read. */
export class NotStrict extends Error {
  override name = "NotStrict";
}

/**
 * Reads JSON of which there is one way to write it, white space and the order of keys aside: no key twice, no `1.0`, no
 * `\u0041`, nothing after the end, no broken UTF-8. So whoever reads the file by other means reads the same.
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
    "it was rewritten since it was issued: something stands in it twice, or in other signs",
  );
}
