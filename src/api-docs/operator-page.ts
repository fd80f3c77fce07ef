import type { App } from "../http/app.ts";
import { html } from "../lib/html.ts";
import { assetUrl } from "../web/kit/assets.ts";
import { REFERENCE_CSP } from "./openapi.ts";

/**
 * GET /docs/operator: the operator's API as a page, for the holder of the key: its script reads the description with it
 * (docs/contract.md §8). The page itself says nothing of the API.
 */
export function operatorPageRoute(app: App): void {
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>Operator API reference</title>
        <link rel="icon" href="/assets/logo">
        <link rel="stylesheet" href="/docs/static/swagger-ui.css">
        <link rel="stylesheet" href="/docs/static/index.css">
        <script src="/docs/static/swagger-ui-bundle.js" defer></script>
        <script src="${assetUrl("operator-docs.js")}" defer></script>
      </head>
      <body>
        <main class="swagger-ui">
          <form class="wrapper auth-container">
            <h1>Operator API reference</h1>
            <p>The operator key opens it. The key stays in this page until you leave it.</p>
            <label for="key">Operator key</label>
            <input id="key" name="key" type="password" autocomplete="off" required>
            <button class="btn authorize">Open</button>
            <p role="alert"></p>
          </form>
          <div id="swagger-ui"></div>
        </main>
      </body>
    </html>`.toString();
  app.get(
    "/docs/operator",
    { config: { access: { by: "public" } }, schema: { hide: true } },
    async (_request, reply) =>
      reply.header("content-security-policy", REFERENCE_CSP).type("text/html; charset=utf-8").send(page),
  );
}
