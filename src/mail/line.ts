import { brief } from "../lib/names.ts";

class Line {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  toString(): string {
    return this.#text;
  }
}

/**
 * One line of a mail: its subject or a paragraph. Only the functions below create one, so that a name which a person or
 * an agent chose gets into mail by `named` alone: a mail with a plain string in it does not compile.
 */
export type MailLine = Line;

/** What clients look for to turn plain text into a link: something directly after a dot, a colon or an at sign. */
const LINK_JOINTS = /([.:@\u2024\u3002\ufe13\ufe52\ufe55\ufe6b\uff0e\uff1a\uff20\uff61])(?=[^\s.])/gu;
const QUOTATION_MARKS = /["\u201c-\u201f\u00ab\u00bb]/g;

/** Template tag for a line. */
export function line(strings: TemplateStringsArray, ...values: readonly (MailLine | number)[]): MailLine {
  return new Line(strings.reduce((text, string, i) => `${text}${values[i - 1]}${string}`));
}

/**
 * A user-supplied name, quoted: shortened to one line of at most 40 characters, without control or bidi characters, and
 * with a space after each character that would make a client show a link (“evil. example”). A space is seen by the
 * reader, and no client joins across it; invisible joiners are skipped by some.
 */
export function named(name: string): MailLine {
  return new Line(`“${brief(name).replaceAll(QUOTATION_MARKS, "'").replaceAll(LINK_JOINTS, "$1 ")}”`);
}

/** The service's own text, such as an amount, a time or one of its URLs. Never user-supplied text. */
export function own(text: string): MailLine {
  return new Line(text);
}

/** A person with the address that they are known by, which was checked to be one. */
export function who({ name, email }: { name: string; email: string }): MailLine {
  return line`${named(name)} (${own(email)})`;
}
