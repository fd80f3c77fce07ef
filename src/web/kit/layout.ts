import type { FastifyReply, FastifyRequest } from "fastify";
import { type Html, html } from "../../lib/html.ts";
import { readZone } from "../../lib/time-zone.ts";
import { type AssetFile, assetUrl } from "./assets.ts";
import { hiddenField } from "./forms.ts";
import { amountsIn, readLocale } from "./locale.ts";
import type { Said } from "./said.ts";
import { mentioned } from "./wording.ts";
import { timesIn } from "./zone.ts";

/** Pages take nothing from elsewhere, run no script, and cannot be framed (docs/contract.md §7). */
const CONTENT = {
  "default-src": "'none'",
  "style-src": "'self'",
  "img-src": "'self'",
  "form-action": "'self'",
  "base-uri": "'none'",
  "frame-ancestors": "'none'",
};

const PAGE_HEADERS = {
  "x-frame-options": "DENY",
  "cross-origin-opener-policy": "same-origin",
  "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=()",
};

/** Stripe's own script, which asks for the card in a frame of its own. It must come from there. */
const STRIPE_SCRIPT = "https://js.stripe.com/endive/stripe.js";
const STRIPE_FRAMES = "https://js.stripe.com https://*.js.stripe.com";
const STRIPE_CONTENT = {
  "script-src": `'self' ${STRIPE_FRAMES}`,
  "frame-src": `${STRIPE_FRAMES} https://hooks.stripe.com`,
  "connect-src": "https://api.stripe.com",
};

export type Page = {
  title: string;
  /** The first heading, if it is not the title. */
  heading?: Html;
  body: Html;
  /** One of our scripts, a module: it runs when the page has been read. */
  script?: AssetFile;
  /** What a pasted link to the page shows, where that is not the title. Never an amount or a name of the account. */
  preview?: string;
  /** The script sends requests to this service only. */
  fetches?: true;
  /** Without script the page is loaded again every few seconds. */
  refreshes?: true;
  /** Opens the page for Stripe's form, and for nothing else. */
  stripe?: true;
};

const REFRESH_SECONDS = 8;

/** The preview of a pasted link: the product, and nothing of any account. */
const DESCRIPTION = "AI agents ask, a person confirms the exact terms, and the money moves once.";

/** Who is signed in, as every page's head shows it. */
export type Visitor = {
  name: string;
  email: string;
  signOutToken: string;
  /** How many approvals of their accounts can be decided now. */
  pending: number;
  /** Whether the browser has the token that was replaced: it reads for a minute, and changes nothing. */
  missedRenewal: boolean;
};

/**
 * Sends a page in the one layout that all pages have.
 * @param around.said what the form came to that led here
 */
export function sendPage(
  reply: FastifyReply,
  appName: string,
  status: number,
  { title, heading, body, script, preview, fetches, refreshes, stripe }: Page,
  { visitor, said }: { visitor?: Visitor | undefined; said?: Said | undefined } = {},
): FastifyReply {
  const titled = (text: string) => (text === appName ? text : `${text} · ${appName}`);
  const page = html`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>${titled(title)}</title>
    <meta name="description" content="${DESCRIPTION}">
    <meta property="og:site_name" content="${appName}">
    <meta property="og:title" content="${titled(preview ?? title)}">
    <meta property="og:description" content="${DESCRIPTION}">
    <link rel="icon" href="/assets/logo">
    <link rel="apple-touch-icon" href="/apple-touch-icon.png">
    <link rel="stylesheet" href="${assetUrl("style.css")}">${
      stripe &&
      html`
    <script src="${STRIPE_SCRIPT}" defer></script>`
    }${
      refreshes &&
      html`
    <noscript><meta http-equiv="refresh" content="${REFRESH_SECONDS}"></noscript>`
    }${
      script &&
      html`
    <script type="module" src="${assetUrl(script)}"></script>`
    }${
      visitor === undefined &&
      html`
    <script src="${assetUrl("zone.js")}" defer></script>`
    }
  </head>
  <body>
    <a class="skip" href="#main">Skip to the page</a>
    <header class="site">
      <a class="brand" href="/"><img src="/assets/logo" alt="" width="28" height="28">${appName}</a>
${visitor === undefined ? html`      <a href="/sign-in">Sign in</a>` : signedIn(visitor, reply.request.url)}
    </header>
    <main id="main">
${visitor?.missedRenewal && missedRenewal(reply.request)}
      <h1>${heading ?? title}</h1>
${said && html`      <p class="notice${said.calm !== true && " wrong"}" role="alert">${said.message}</p>\n`}${body}
    </main>
  </body>
</html>
`;
  const content = {
    ...CONTENT,
    // Pages for people who are not signed in store the time zone; the others run only their own scripts.
    ...(script === undefined && visitor !== undefined ? {} : { "script-src": "'self'" }),
    ...(fetches ? { "connect-src": "'self'" } : {}),
    ...(stripe ? STRIPE_CONTENT : {}),
  };
  const policy = Object.entries(content).map((directive) => directive.join(" "));
  reply.header("content-security-policy", policy.join("; "));
  const { cookie, "accept-language": languages } = reply.request.headers;
  const locale = readLocale(languages);
  const text = amountsIn(timesIn(page.toString(), readZone(cookie), locale), locale);
  return reply.code(status).headers(PAGE_HEADERS).type("text/html; charset=utf-8").send(text);
}

/** For a person whose browser missed the response with the session's new cookie. */
function missedRenewal({ method, url }: FastifyRequest): Html {
  const signIn = method === "GET" ? `/sign-in?return_to=${encodeURIComponent(url)}` : "/sign-in";
  return html`      <p class="notice wrong" role="alert"><b>Sign in again to continue.</b> Your sign-in was renewed, but this browser didn’t receive
        the renewal. The answer to your last request may have been lost. For up to a minute this page still shows its result. You
        can’t change anything until you <a href="${signIn}">sign in again</a>.</p>`;
}

const SECTIONS = [
  { path: "/approvals", name: "Approvals" },
  { path: "/contracts", name: "Contracts" },
  { path: "/billing", name: "Billing" },
  { path: "/settings", name: "Settings" },
] as const;

const SETTINGS = [
  { path: "/settings/keys", name: "API keys" },
  { path: "/settings/members", name: "Members" },
  { path: "/settings/webhooks", name: "Webhooks" },
  { path: "/settings/security", name: "Security" },
  { path: "/settings/policy", name: "Policy" },
  { path: "/settings/activity", name: "Activity" },
] as const;

function signedIn({ name, email, signOutToken, pending }: Visitor, url: string): Html {
  const count =
    pending > 0 &&
    html` <span class="count"><span>${pending}</span><span class="away"> pending</span></span>`;
  return html`      <form class="visitor" method="post" action="/sign-out">
        ${hiddenField("form_token", signOutToken)}
        <span title="${email}">${mentioned(name)}</span>
        <button class="plain" type="submit">Sign out</button>
      </form>
      ${navigation("Main", SECTIONS, url, { "/approvals": count })}
      ${url.startsWith("/settings") && navigation("Settings", SETTINGS, url)}`;
}

function navigation(
  label: string,
  places: readonly { path: string; name: string }[],
  url: string,
  counts: Readonly<Record<string, Html | false>> = {},
): Html {
  return html`<nav aria-label="${label}">${places.map(
    ({ path, name }) => html`
        <a href="${path}"${url.startsWith(path) && html` aria-current="true"`}>${name}${counts[path]}</a>`,
  )}
      </nav>`;
}
