/** User-supplied names, as pages and titles show them. Mail takes them by `mail/line.ts` alone. */

/** Bidi controls: with them, what is seen is not what was written. */
const BIDI_CONTROLS = /[\u202a-\u202e\u2066-\u2069]/g;
/** More marks on one letter than any language has: they would cover the lines above and below. */
const PILED_UP = /(\p{M}{4})\p{M}+/gu;
/** A letter, a digit, a sign. Not: spaces, marks alone, and what is made to show nothing, some letters among it. */
const VISIBLE = /(?![\p{Default_Ignorable_Code_Point}\u2800])[\p{L}\p{N}\p{P}\p{S}]/u;
const BLANK = "(blank)";
const SHORT = 40;

/** Whether there is anything in it to see, as a name must have that people decide by. */
export function isVisible(text: string): boolean {
  return VISIBLE.test(text);
}

/** Text without bidi controls, and without marks that would cover the lines around it. */
function stripBidi(text: string): string {
  return text.replaceAll(BIDI_CONTROLS, "").replaceAll(PILED_UP, "$1");
}

/** The same in one line. */
function oneLine(text: string): string {
  return stripBidi(text).replaceAll(/[\s\p{Cc}]+/gu, " ");
}

/** A whole name without bidi controls; one that shows nothing is `(blank)`. */
export function whole(name: string): string {
  return isVisible(name) ? stripBidi(name) : BLANK;
}

/** A name within a sentence, where it may not drown out what the sentence says. */
export function brief(name: string, atMost = SHORT): string {
  if (!isVisible(name)) return BLANK;
  const characters = [...oneLine(name).trim()];
  return characters.length > atMost ? `${characters.slice(0, atMost).join("")}…` : characters.join("");
}
