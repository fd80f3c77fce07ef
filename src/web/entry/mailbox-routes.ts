import { Type } from "@sinclair/typebox";
import type { App } from "../../http/app.ts";
import { isLoopback } from "../../lib/addresses.ts";
import { html } from "../../lib/html.ts";
import { Problem } from "../../lib/problems.ts";
import { mailMarkup } from "../../mail/markup.ts";
import { type KeptMail, listMailbox, readKeptMail } from "../../mail/service.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import type { Page } from "../kit/layout.ts";
import { show } from "../kit/site.ts";
import { time } from "../kit/wording.ts";

/**
 * `/demo/mailbox`: what the demo would have mailed. Never registered outside it, and answered to a `Host` that is this
 * machine alone: mails hold secrets, and a page whose name was pointed here could read them (DNS rebinding).
 */
export async function mailboxRoutes(app: App, deps: SessionDeps): Promise<void> {
  app.addHook("onRequest", async ({ raw }) => {
    if (!isLoopback(hostOf(raw.headers.host))) throw new Problem("not_found", { resource: "routes" });
  });
  const access = { config: { access: { by: "public" as const } } };
  app.get("/demo/mailbox", { ...access, schema: { hide: true } }, async (_request, reply) =>
    show(deps, reply, mailboxPage(await listMailbox(deps.db))),
  );
  app.get(
    "/demo/mailbox/:mailId",
    { ...access, schema: { hide: true, params: Type.Object({ mailId: Type.String() }) } },
    async (request, reply) => {
      const mail = await readKeptMail(deps.db, request.params.mailId);
      if (mail === undefined) throw new Problem("not_found", { resource: "mails" });
      return show(deps, reply, mailPage(mail, deps.config.publicUrl));
    },
  );
}

/** The host of a `Host` header, without its port; empty where it is none. */
function hostOf(header: string | undefined): string {
  return URL.parse(`http://${header ?? ""}`)?.hostname ?? "";
}

function mailboxPage(mails: readonly KeptMail[]): Page {
  return {
    title: "Demo mailbox",
    body: html`
      <p>The demo sends no email. Messages appear here instead, newest first, after a few seconds.</p>
      ${
        mails.length === 0
          ? html`<p class="quiet">No messages yet.</p>`
          : html`<ul class="rows">${mails.map(
              ({ id, to, subject, createdAt }) => html`
        <li>
          <a href="/demo/mailbox/${id}">${subject}</a>
          <span class="quiet">to ${to}, ${time(createdAt)}</span>
        </li>`,
            )}</ul>`
      }`,
  };
}

function mailPage({ to, subject, paragraphs, createdAt }: KeptMail, origin: string): Page {
  return {
    title: subject,
    body: html`
      <p class="quiet">To ${to}, ${time(createdAt)}</p>
      ${mailMarkup(paragraphs, origin)}
      <p><a href="/demo/mailbox">All messages</a></p>`,
  };
}
