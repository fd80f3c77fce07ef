import { type Html, html } from "../lib/html.ts";
import type { MailConfig } from "./service.ts";

/** A mail's paragraphs as escaped markup; a paragraph that is a URL of `origin` becomes a link. */
export function mailMarkup(paragraphs: readonly string[], origin: string): Html {
  return html`${paragraphs.map((text) =>
    isLink(text, origin) ? html`<p><a href="${text}">${text}</a></p>\n` : html`<p>${text}</p>\n`,
  )}`;
}

/** What the button of a link says, by the page that it opens; the first that fits counts. */
const BUTTONS: readonly (readonly [path: RegExp, label: string])[] = [
  [/^\/approvals\/[^/]+\/receipt$/, "View receipt"],
  [/^\/approvals\/[^/]+$/, "Open the request"],
  [/^\/approvals$/, "Open your approvals"],
  [/^\/billing$/, "Open billing"],
  [/^\/top-ups\//, "Open the top-up"],
  [/^\/invite$/, "Open the invitation"],
  [/^\/claim$/, "Open the claim"],
  [/^\/reset\/new$/, "Choose a new password"],
  [/^\/reset$/, "Reset your password"],
  [/^\/settings\/keys$/, "Open API keys"],
  [/^\/settings\/members$/, "Open members"],
  [/^\/settings\/policy$/, "Open the policy"],
  [/^\/settings\/security$/, "Open security"],
  [/^\/settings\/webhooks$/, "Open webhooks"],
  [/^\/settings\/activity$/, "Open activity"],
];

// The inline styles are for the light scheme, for clients that read no style sheet. Colours are named on each element,
// so that a client which turns them around turns all of them. Words break only where they would not fit at all.
const FONT = "font:17px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif";
const WRAP = "overflow-wrap:break-word;word-break:normal";
const PAGE = `margin:0;padding:24px 16px;background:#ffffff;color:#131a22;${FONT};${WRAP}`;
const BUTTON =
  "display:inline-block;padding:12px 20px;border-radius:8px;background:#0b5cad;color:#ffffff;font-weight:600;" +
  "text-decoration:none";
const QUIET = `font-size:14px;color:#535e6b;${WRAP}`;
const DARK = `@media (prefers-color-scheme: dark) {
      .page { background: #131a22 !important; color: #e9edf2 !important; }
      .button { background: #79b8ff !important; color: #0d1722 !important; }
      .quiet { color: #a5b0bd !important; }
    }`;

/**
 * A mail as a page: its sender, its paragraphs, and each link as a button with its address below, so that the reader sees
 * where it leads. No images: clients block them, and they would track the reader.
 */
export function mailPage(
  subject: string,
  paragraphs: readonly string[],
  { appName, publicUrl }: MailConfig,
): Html {
  const body = paragraphs.map((text) =>
    isLink(text, publicUrl)
      ? html`<p style="margin:24px 0 4px"><a class="button" href="${text}" style="${BUTTON}">${buttonOf(text)}</a></p>
      <p class="quiet" style="margin:0 0 24px;${QUIET}">${text}</p>
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
    <meta name="supported-color-schemes" content="light dark">
    <meta name="format-detection" content="telephone=no, date=no, address=no, email=no, url=no">
    <title>${subject}</title>
    <style>
    :root { color-scheme: light dark; }
    ${DARK}
    </style>
  </head>
  <body class="page" style="${PAGE}">
    <div style="max-width:544px;margin:0 auto">
      <p style="margin:0 0 24px;font-weight:600">${appName}</p>
      ${body}<p class="quiet" style="margin:32px 0 0;${QUIET}">Sent by ${appName} at ${new URL(publicUrl).host}. Opening a link in this
        email confirms and pays nothing.</p>
    </div>
  </body>
</html>
`;
}

function buttonOf(link: string): string {
  const { pathname } = new URL(link);
  return BUTTONS.find(([path]) => path.test(pathname))?.[1] ?? "Open the page";
}

function isLink(text: string, origin: string): boolean {
  return text.startsWith(`${origin}/`) && !/\s/.test(text);
}
