import { describe, expect, test } from "vitest";
import { beginActing, ENTRIES } from "../sign-in/acting-scenes.ts";
import { MAILING } from "../support/agents.ts";
import { letProofAge } from "../support/approval-scene.ts";
import { operate } from "../support/fixtures.ts";
import { hiddenValue, landing, open, PASSWORD, refusalOf, submit } from "../support/humans.ts";
import { some } from "../support/long.ts";
import { startService } from "../support/service.ts";

const service = await startService(MAILING);
const { app } = service;

/** Forms that a script sends, and those of people who may not be signed in. */
const OTHERS = /\/(sign|options|challenge|presence)$|^\/(claim|invite|sign-in|sign-out|reset)/;
/** Forms whose answer shows a secret, once. */
const DISCLOSE = [
  "/settings/keys/make",
  "/settings/webhooks/add",
  "/settings/webhooks/:webhookId/rotate-secret",
];

const FORMS = Object.keys(ENTRIES).filter((url) => !OTHERS.test(url));

describe("A form of signed-in people", () => {
  test.each(some(FORMS, 6))(
    "%s answers with a redirect, and says on its page why it was refused",
    async (url) => {
      for (const make of ["proof", "frozen", "whole"] as const) {
        const scene = await beginActing(service);
        const { path, fields, by } = (await ENTRIES[url]?.(scene)) ?? {};
        const person = { ...scene, ...by };
        if (make === "proof") await letProofAge(service, scene);
        if (make === "frozen") await operate(app, "PUT", `/accounts/${scene.account}`, { frozen: true });
        const answer = await submit(app, path ?? "", fields ?? {}, person);
        if (DISCLOSE.includes(url) && refusalOf(answer) === undefined) continue;
        expect(answer.status, `${make}: ${answer.text.slice(0, 2_000)}`).toBe(303);
        const said = refusalOf(answer);
        if (said === undefined) continue;
        const page = await landing(app, answer, person);
        // A contract's page has its own words for it.
        const words = url.startsWith("/contracts") ? "Nothing was requested" : plain(said);
        expect([page.status, plain(page.text)], make).toEqual([200, expect.stringContaining(words)]);
      }
    },
  );

  test("keeps what was filled in, unless it is too long for a cookie, and says what is wrong once", async () => {
    const scene = await beginActing(service);
    for (const [length, kept] of [
      [2_000, true],
      [4_000, false],
    ] as const) {
      const page = await open(app, "/settings/webhooks", scene);
      const value = (name?: string) => hiddenValue(page, "/settings/webhooks/add", name);
      const url = `ftp://example.com/${"x".repeat(length)}`;
      const fields = {
        form_token: value(),
        account_id: value("account_id"),
        webhook_id: value("webhook_id"),
        url,
        event_types: "contract.created",
      };
      const answer = await submit(app, "/settings/webhooks/add", fields, scene);
      const [cookie = ""] = [answer.headers["set-cookie"] ?? []].flat() as string[];
      expect(cookie.length).toBeLessThan(4_096);
      const { text } = await landing(app, answer, scene);
      expect([text.includes('aria-invalid="true"'), text.includes(url)]).toEqual([true, kept]);
      expect((await open(app, "/settings/webhooks", scene)).text).not.toContain("aria-invalid");
    }
  });

  test("never puts a password into what it keeps", async () => {
    const scene = await beginActing(service);
    await letProofAge(service, scene);
    const page = await open(app, "/settings/security", scene);
    const form_token = hiddenValue(page, "/settings/security/password");
    const fields = { form_token, current: "not the password", next: PASSWORD };
    const answer = await submit(app, "/settings/security/password", fields, scene);
    const cookies = [answer.headers["set-cookie"] ?? []].flat().join("\n");
    const kept = Buffer.from(/countersign-said=([\w-]+)/.exec(cookies)?.[1] ?? "", "base64url").toString();
    expect(kept).toContain("That password isn’t right");
    for (const secret of [PASSWORD, "not the password"]) expect(kept).not.toContain(secret);
  });
});

/** A page's text, or a message as a page writes it. */
function plain(text: string): string {
  return text
    .replaceAll(/<[^>]*>/g, "")
    .replaceAll(/&#39;|&quot;/g, "'")
    .replaceAll(/\s+/g, " ");
}
