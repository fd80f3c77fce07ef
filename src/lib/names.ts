/**
 * Names that somebody else chose, as they stand in what we say: on pages, in mail, in a title. One place, so that what
 * is harmless on a page is harmless in a mail.
 */

/** Turns text around from within: what is seen would not be what was written. */
const TURNING = /[\u202a-\u202e\u2066-\u2069]/g;
/** More marks on one letter than any language has: they would cover the lines above and below. */
const PILED_UP = /(\p{M}{4})\p{M}+/gu;
/** A letter, a digit, a sign. Not: spaces, marks alone, and what is made to show nothing, some letters among it. */
const VISIBLE = /(?![\p{Default_Ignorable_Code_Point}\u2800])[\p{L}\p{N}\p{P}\p{S}]/u;
const QUOTATION_MARKS = /["\u201c-\u201f\u00ab\u00bb]/g;
const BLANK = "(blank)";
const SHORT = 40;

/** Whether there is anything in it to see, as a name must have that people decide by. */
export function isVisible(text: string): boolean {
  return VISIBLE.test(text);
}

/** Text that neither turns around what it stands in, nor covers it. */
export function sober(text: string): string {
  return text.replaceAll(TURNING, "\ufffd").replaceAll(PILED_UP, "$1");
}

/** The same in one line: one of its own could be a link. */
export function oneLine(text: string): string {
  return sober(text).replaceAll(/[\s\p{Cc}]+/gu, " ");
}

/** A whole name, sober; one that shows nothing is said to. */
export function whole(name: string): string {
  return isVisible(name) ? sober(name) : BLANK;
}

/** A name within a sentence, where it may not drown out what the sentence says. */
export function brief(name: string, atMost = SHORT): string {
  if (!isVisible(name)) return BLANK;
  const characters = [...oneLine(name).trim()];
  return characters.length > atMost ? `${characters.slice(0, atMost).join("")}…` : characters.join("");
}

/** The same in plain text, where only quotation marks say where it ends: it has none of its own. */
export function quoted(name: string): string {
  return `“${brief(name).replaceAll(QUOTATION_MARKS, "'")}”`;
}
