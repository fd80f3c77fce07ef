import { readFileSync } from "node:fs";
import type { App } from "../http/app.ts";
import { type Page, sendPage } from "./layout.ts";
import * as pages from "./pages.ts";

const ASSETS = [
  { url: "/assets/style.css", type: "text/css; charset=utf-8", file: "style.css" },
  { url: "/assets/icon.svg", type: "image/svg+xml", file: "icon.svg" },
] as const;

/** The pages for people (CONTRACT.md §7), and what they are drawn with. GET changes nothing. */
export function webRoutes(app: App, { appName }: { appName: string }): void {
  const page = (url: string, content: Page, constraints: { audience?: "page" } = {}): void => {
    app.get(
      url,
      { config: { access: { by: "public" } }, schema: { hide: true }, constraints },
      async (_request, reply) => sendPage(reply, appName, 200, content),
    );
  };
  page("/", pages.homePage(appName));
  page("/approvals", pages.approvalsPage);
  page("/approvals/:approvalId", pages.approvalPage, { audience: "page" });
  page("/claim", pages.claimPage);
  page("/billing", pages.billingPage);
  page("/invite", pages.invitePage);
  page("/settings/keys", pages.keysPage);

  for (const { url, type, file } of ASSETS) {
    const content = readFileSync(new URL(file, import.meta.url));
    app.get(url, { config: { access: { by: "public" } }, schema: { hide: true } }, async (_request, reply) =>
      reply
        .header("cache-control", "public, max-age=3600")
        .header("x-content-type-options", "nosniff")
        .type(type)
        .send(content),
    );
  }
}
