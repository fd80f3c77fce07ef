import { type Html, html } from "../lib/html.ts";

/** A mail's paragraphs as escaped markup; a paragraph that is a URL of `origin` becomes a link. */
export function mailMarkup(paragraphs: readonly string[], origin: string): Html {
  return html`${paragraphs.map((text) =>
    isLink(text, origin) ? html`<p><a href="${text}">${text}</a></p>\n` : html`<p>${text}</p>\n`,
  )}`;
}

const FONT = "font:17px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif";
const BUTTON =
  "display:inline-block;padding:12px 20px;border-radius:8px;background:#0b5cad;color:#ffffff;font-weight:600;" +
  "text-decoration:none";
const QUIET = "font-size:14px;color:#6b7785;word-break:break-all";

/**
 * A mail as a page: its sender, its paragraphs, and each link as a button with its address below, so that the reader sees
 * where it leads. No images: clients block them, and they would track the reader.
 */
export function mailPage(
  subject: string,
  paragraphs: readonly string[],
  { appName, publicUrl }: { appName: string; publicUrl: string },
): Html {
  const body = paragraphs.map((text) =>
    isLink(text, publicUrl)
      ? html`<p style="margin:24px 0 4px"><a href="${text}" style="${BUTTON}">Open the page</a></p>
      <p style="margin:0 0 24px;${QUIET}">${text}</p>
      `
      : html`<p style="margin:0 0 16px">${text}</p>
      `,
  );
  return html`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <meta name="format-detection" content="telephone=no, date=no, address=no, email=no, url=no">
    <title>${subject}</title>
  </head>
  <body style="margin:0;padding:24px 16px;${FONT}">
    <div style="max-width:544px;margin:0 auto">
      <p style="margin:0 0 24px;font-weight:600">${appName}</p>
      ${body}<p style="margin:32px 0 0;${QUIET}">${appName}, ${new URL(publicUrl).host}. Nothing that you open from this mail pays or
        decides anything by being opened.</p>
    </div>
  </body>
</html>
`;
}

function isLink(text: string, origin: string): boolean {
  return text.startsWith(`${origin}/`) && !/\s/.test(text);
}
