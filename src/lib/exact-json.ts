declare global {
  interface JSON {
    /** A value that `JSON.stringify` writes as this text (ES2026). */
    rawJSON(text: string): object;
  }
}

type Reviver = (key: string, value: unknown, context: { source?: string }) => unknown;

/**
 * Finds a number that JavaScript may write otherwise than it is written: with an exponent, a zero at the end of its
 * fraction, a minus before a zero, more than 15 digits, or six zeros after its point. Most texts have none, and are read
 * without a reviver.
 */
const UNUSUAL = /(?:^|[[:,\s])(?:-0|-?(?:\d+(?:\.\d+)?[eE]|\d+\.\d*0(?!\d)|[\d.]{16}|0\.0{6}))/;

/**
 * Reads JSON so that `JSON.stringify` writes every number as it was written. A number that JavaScript would change, such
 * as 12345678901234567890, 1e400 or 1.0, becomes a `JSON.rawJSON` of its text.
 * @throws SyntaxError
 */
export function parseExactJson(text: string): unknown {
  return UNUSUAL.test(text) ? (JSON.parse as Parse)(text, keepNumber) : JSON.parse(text);
}

type Parse = (text: string, reviver: Reviver) => unknown;

function keepNumber(_key: string, value: unknown, { source }: { source?: string }): unknown {
  if (typeof value !== "number" || source === undefined || JSON.stringify(value) === source) return value;
  return JSON.rawJSON(source);
}
