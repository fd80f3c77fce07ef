import type { FastifyReply } from "fastify";
import { type Html, html } from "../lib/html.ts";

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

export type Page = { title: string; body: Html };

/** Sends a page in the one layout that all pages have. */
export function sendPage(
  reply: FastifyReply,
  appName: string,
  status: number,
  { title, body }: Page,
): FastifyReply {
  const page = html`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>${title} · ${appName}</title>
    <link rel="icon" href="/assets/icon.svg" type="image/svg+xml">
    <link rel="stylesheet" href="/assets/style.css">
  </head>
  <body>
    <header class="site"><a href="/">${appName}</a></header>
    <main>
      <h1>${title}</h1>
${body}
    </main>
  </body>
</html>
`;
  return reply.code(status).headers(PAGE_HEADERS).type("text/html; charset=utf-8").send(page.toString());
}
