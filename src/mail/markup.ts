import { type Html, html } from "../lib/html.ts";

/** A mail's paragraphs as markup. Nothing in them acts; one that is an address of `origin` becomes a link. */
export function mailMarkup(paragraphs: readonly string[], origin: string): Html {
  return html`${paragraphs.map((text) =>
    text.startsWith(`${origin}/`) && !/\s/.test(text)
      ? html`<p><a href="${text}">${text}</a></p>\n`
      : html`<p>${text}</p>\n`,
  )}`;
}
