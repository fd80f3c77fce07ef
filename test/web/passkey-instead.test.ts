import { describe, expect, test } from "vitest";
import { beginActing, type Scene } from "../sign-in/acting-scenes.ts";
import { begin, decide, letProofAge } from "../support/approval-scene.ts";
import { fund } from "../support/fixtures.ts";
import { createHuman, landing, open } from "../support/humans.ts";
import { givePasskey, userIdOf } from "../support/passkeys.ts";
import { startService } from "../support/service.ts";
import { subscribe } from "../support/webhooks.ts";

const service = await startService();
const { app, db } = service;

const OFFER = "Sign in and confirm faster.";

describe("A passkey is offered", () => {
  test("after a confirmation, to the person who confirmed without one, and leads back there", async () => {
    const story = await begin(service);
    const viewer = await createHuman(app, story.account, "viewer");
    const before = await open(app, story.path, story);
    expect(before.text).not.toContain(OFFER);
    const { text } = await landing(app, await decide(service, story, "confirm"), story);
    expect(text).toContain(OFFER);
    expect(text).toContain(`/settings/security/passkeys/new?return_to=${encodeURIComponent(story.path)}`);
    expect((await open(app, story.path, viewer)).text).not.toContain(OFFER);
    await givePasskey(db, await userIdOf(db, story.email));
    expect((await open(app, story.path, story)).text).not.toContain(OFFER);
  });

  test("not after a decline", async () => {
    const story = await begin(service);
    const { text } = await landing(app, await decide(service, story, "decline"), story);
    expect(text).not.toContain(OFFER);
  });
});

/** Each page with a form that asks for proof; what is asked on the approval's page, its own script answers. */
const PAGES: Record<string, (scene: Scene) => Promise<string> | string> = {
  billing: () => "/billing",
  "removing a card": async (scene) => {
    const { text } = await open(app, "/billing", scene);
    return (/href="(\/billing\/remove-card[^"]*)"/.exec(text)?.[1] ?? "").replaceAll("&amp;", "&");
  },
  "API keys": () => "/settings/keys",
  members: () => "/settings/members",
  "a member": ({ memberId }) => `/settings/members/${memberId}`,
  "removing a member": ({ memberId }) => `/settings/members/${memberId}/remove`,
  webhooks: () => "/settings/webhooks",
  "a webhook": async ({ token }) => `/settings/webhooks/${(await hookOf(token)).id}`,
  "deleting a webhook": async ({ token }) => `/settings/webhooks/${(await hookOf(token)).id}/delete`,
  policy: () => "/settings/policy",
  "a new passkey": () => "/settings/security/passkeys/new",
  "a passkey": async (scene) => {
    const { text } = await open(app, "/settings/security", scene);
    return /href="(\/settings\/security\/passkeys\/[0-9a-f-]{36})"/.exec(text)?.[1] ?? "";
  },
};

const hookOf = (token: string) => subscribe(app, token, "https://hooks.example.com/");

describe("A passkey answers in place of the password", () => {
  test.each(Object.keys(PAGES))("on the page of %s", async (name) => {
    const scene = await beginActing(service);
    await givePasskey(db, scene.userId);
    const path = (await PAGES[name]?.(scene)) ?? "";
    await letProofAge(service, scene);
    const { status, text } = await open(app, path, scene);
    expect([status, path]).toEqual([200, expect.stringMatching(/^\//)]);
    const asking = formsOf(text).filter((form) => form.includes('autocomplete="current-password"'));
    expect(asking.length, text).toBeGreaterThan(0);
    for (const form of asking) expect(form).toContain('data-presence="/settings/security/presence"');
    expect(text).toMatch(/<script type="module" src="\/assets\/passkeys\.\w+\.js">/);
  });

  test("on an approval's page, where the password waits behind it", async () => {
    const scene = await beginActing(service);
    await givePasskey(db, scene.userId);
    const { body } = await fund(app, scene.token, scene.milestone);
    await letProofAge(service, scene);
    const { text } = await open(app, `/approvals/${body.approval.id}`, scene);
    const [form = ""] = formsOf(text).filter((one) => one.includes('autocomplete="current-password"'));
    expect(form).toContain("data-co-sign=");
    expect(form).toMatch(/<details>\s*<summary>Use your password instead/);
  });
});

function formsOf(page: string): string[] {
  return page.match(/<form[\s\S]*?<\/form>/g) ?? [];
}
