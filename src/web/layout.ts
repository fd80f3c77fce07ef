import type { FastifyReply } from "fastify";
import { type Html, html } from "../lib/html.ts";
import { hiddenField } from "./forms.ts";

/** Pages take nothing from elsewhere and cannot be framed (CONTRACT.md §7). */
const PAGE_HEADERS = {
  "content-security-policy":
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  "referrer-policy": "same-origin",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "cross-origin-opener-policy": "same-origin",
  "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=()",
};

export type Page = {
  title: string;
  /** The first heading, if it is not the title. */
  heading?: Html;
  body: Html;
};
/** Who is signed in, as every page's head shows it. */
export type Visitor = { name: string; email: string; signOutToken: string };

/** Sends a page in the one layout that all pages have. */
export function sendPage(
  reply: FastifyReply,
  appName: string,
  status: number,
  { title, heading, body }: Page,
  visitor?: Visitor,
): FastifyReply {
  const page = html`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>${title === appName ? title : `${title} · ${appName}`}</title>
    <link rel="icon" href="/assets/icon.svg" type="image/svg+xml">
    <link rel="stylesheet" href="/assets/style.css">
  </head>
  <body>
    <a class="skip" href="#main">Skip to the page</a>
    <header class="site">
      <a class="brand" href="/">${appName}</a>
${visitor === undefined ? html`      <a href="/sign-in">Sign in</a>` : signedIn(visitor, reply.request.url)}
    </header>
    <main id="main">
      <h1>${heading ?? title}</h1>
${body}
    </main>
  </body>
</html>
`;
  return reply.code(status).headers(PAGE_HEADERS).type("text/html; charset=utf-8").send(page.toString());
}

const SECTIONS = [
  { path: "/approvals", name: "Approvals" },
  { path: "/billing", name: "Billing" },
  { path: "/settings", name: "Settings" },
] as const;

const SETTINGS = [
  { path: "/settings/keys", name: "API keys" },
  { path: "/settings/members", name: "Members" },
  { path: "/settings/security", name: "Security" },
] as const;

function signedIn({ name, email, signOutToken }: Visitor, url: string): Html {
  return html`      <form class="visitor" method="post" action="/sign-out">
        ${hiddenField("form_token", signOutToken)}
        <span title="${email}"><bdi>${name}</bdi></span>
        <button class="plain" type="submit">Sign out</button>
      </form>
      ${navigation("Main", SECTIONS, url)}
      ${url.startsWith("/settings") && navigation("Settings", SETTINGS, url)}`;
}

function navigation(label: string, places: readonly { path: string; name: string }[], url: string): Html {
  return html`<nav aria-label="${label}">${places.map(
    ({ path, name }) => html`
        <a href="${path}"${url.startsWith(path) && html` aria-current="true"`}>${name}</a>`,
  )}
      </nav>`;
}
