import type { Updateable } from "kysely";
import type { Page } from "playwright-core";
import type { Database } from "../../src/database/schema.ts";
import { EVENT_SCOPES } from "../../src/events/schemas.ts";
import { begin, HOSTILE, letProofAge } from "./approval-scene.ts";
import type { Site } from "./browser.ts";
import { call, createFixture } from "./fixtures.ts";
import { createHuman, hiddenValue, invite, open, submit } from "./humans.ts";
import type { PageState } from "./page-states.ts";
import { createSubscriber, postMessage, subscribe } from "./webhooks.ts";

export async function webhookStates(site: Site): Promise<PageState[]> {
  const { app, db } = site;
  const none = await createHuman(app, (await createSubscriber(app)).account);
  const off = await createHuman(app, (await createFixture(app)).account);
  const fixture = await createSubscriber(app);
  const { cookie } = await createHuman(app, fixture.account);
  const viewer = await createHuman(app, fixture.account, "viewer");
  const all = Object.keys(EVENT_SCOPES);
  const gone = await subscribe(app, fixture.token, `https://example.com/${"w".repeat(200)}?key=מפתח`, all);
  const { id } = await subscribe(app, fixture.token, "https://hooks.example.com/countersign", all);
  for (let i = 1; i <= 12; i++) await postMessage(app, fixture, `message-${i}`);
  const write = (values: Partial<Updateable<Database["webhook_deliveries"]>>, event: number) =>
    db
      .updateTable("webhook_deliveries")
      .set({ attempted_at: new Date(), ...values })
      .where("webhook_id", "=", id)
      .where("event_number", "=", event)
      .execute();
  const events = await db
    .selectFrom("webhook_deliveries")
    .select("event_number")
    .where("webhook_id", "=", id)
    .orderBy("event_number", "desc")
    .execute();
  const [, second = 0, third = 0, fourth = 0, ...rest] = events.map(({ event_number }) => event_number);
  const tomorrow = new Date(Date.now() + 86_400_000);
  await write({ attempts: 5, due_at: tomorrow, answer_error: "the connection was refused" }, second);
  const over = { due_at: null, resolved_at: new Date() };
  await write(
    { ...over, status: "FAILED", attempts: 10, answer_status: 500, answer_error: "answered 500" },
    third,
  );
  await write({ ...over, status: "DELIVERED", attempts: 3, answer_status: 200 }, fourth);
  for (const event of rest)
    await write({ ...over, status: "DELIVERED", attempts: 1, answer_status: 204 }, event);
  await db
    .updateTable("webhooks")
    .set({
      status: "DISABLED",
      due_at: null,
      disabled_at: new Date(),
      disabled_reason: "The receiver answered 410.",
    })
    .where("id", "=", gone.id)
    .execute();
  const press = (name: string) => (page: Page) => page.getByRole("button", { name }).click();
  const path = `/settings/webhooks/${id}`;
  return [
    { name: "webhooks-none", path: "/settings/webhooks", cookie: none.cookie },
    { name: "webhooks-off", path: "/settings/webhooks", cookie: off.cookie },
    { name: "webhooks", path: "/settings/webhooks", cookie },
    { name: "webhooks-viewer", path: "/settings/webhooks", cookie: viewer.cookie },
    {
      name: "webhooks-error",
      path: "/settings/webhooks",
      cookie,
      act: async (page) => {
        await page.getByLabel("URL").fill("https://10.0.0.1/");
        await press("Add webhook")(page);
      },
    },
    {
      name: "webhooks-no-event",
      path: "/settings/webhooks",
      cookie,
      act: async (page) => {
        await page.getByLabel("URL").fill("https://example.com/");
        await page.getByLabel("An approval is confirmed").uncheck();
        await press("Add webhook")(page);
      },
    },
    { name: "webhook", path: `${path}?said=again`, cookie },
    { name: "webhook-viewer", path, cookie: viewer.cookie },
    { name: "webhook-disabled", path: `/settings/webhooks/${gone.id}`, cookie },
    { name: "webhook-secret", path, cookie, act: press("Replace secret") },
    { name: "webhook-delete", path: `${path}/delete`, cookie },
  ];
}

export async function keyStates(site: Site): Promise<PageState[]> {
  const { app } = site;
  const path = "/settings/keys";
  const fixture = await createFixture(app);
  const viewer = await createHuman(app, fixture.account, "viewer");
  const { cookie } = await createHuman(app, fixture.account);
  const mint = (token: string, name: string, scopes: string[]) =>
    call(app, "POST", "/api/public/v1/tokens", { token, body: { name, scopes } });
  const child = await mint(fixture.token, HOSTILE.name.slice(0, 120), ["payments:read", "jobs:write"]);
  await mint(child.body.token, "Grandchild", []);
  const ended = await mint(fixture.token, "Old one", ["jobs:read"]);
  const { id } = ended.body.metadata;
  await call(app, "DELETE", `/api/public/v1/tokens/${id}`, fixture);
  const aged = await begin(site);
  await letProofAge(site, aged);
  const fresh = await begin(site);
  const fill = async (page: Page): Promise<void> => {
    await page.getByRole("textbox", { name: "Name" }).fill("Buyer");
    await page.getByLabel("Ask for payments").check();
    await page.getByRole("button", { name: "Create key" }).click();
  };
  return [
    { name: "keys", path: `${path}?said=revoked`, cookie },
    { name: "keys-viewer", path, cookie: viewer.cookie },
    { name: "keys-password", path, cookie: aged.cookie, act: fill },
    {
      name: "keys-nothing-ticked",
      path,
      cookie,
      act: async (page) => {
        await page.getByRole("textbox", { name: "Name" }).fill("Buyer");
        await page.getByLabel("See contracts").uncheck();
        await page.getByRole("button", { name: "Create key" }).click();
      },
    },
    { name: "key-made", path, cookie: fresh.cookie, act: fill },
    { name: "key-revoke", path: `${path}/${child.body.metadata.id}/revoke`, cookie },
  ];
}

export async function teamStates(site: Site): Promise<PageState[]> {
  const { app } = site;
  const path = "/settings/members";
  const { account } = await createFixture(app);
  const approver = await createHuman(app, account, "approver");
  const owner = await createHuman(app, account);
  const invited = await invite(app, account, "viewer", `${"w".repeat(60)}@${"long.".repeat(20)}example.com`);
  const aged = await begin(site);
  await letProofAge(site, aged);
  const { cookie } = owner;
  const press = (name: string) => (page: Page) => page.getByRole("button", { name }).click();
  const fill = (email: string) => async (page: Page) => {
    await page.getByLabel("Email").fill(email);
    await page.getByLabel("Name").fill("Bob Builder");
    await press("Send invitation")(page);
  };
  const keys = await open(app, "/settings/keys", approver);
  const hidden = ["account_id", "token_id", "form_token"].map((name) => [
    name,
    hiddenValue(keys, "/settings/keys/make", name),
  ]);
  const key = { name: "Night shift", scopes: "payments:write", lifetime: "30" };
  await submit(app, "/settings/keys/make", { ...Object.fromEntries(hidden), ...key }, approver);
  return [
    { name: "members", path: `${path}?said=role`, cookie },
    { name: "members-approver", path, cookie: approver.cookie },
    { name: "members-error", path, cookie, act: fill(approver.email) },
    { name: "members-link", path, cookie, act: fill(`bob-${account}@example.com`) },
    { name: "members-password", path, cookie: aged.cookie, act: fill("bob@example.com") },
    { name: "member", path: `${path}/${approver.memberId}`, cookie },
    { name: "member-you", path: `${path}/${owner.memberId}`, cookie },
    {
      name: "member-last-owner",
      path: `${path}/${owner.memberId}/remove`,
      cookie,
      act: press("Leave account"),
    },
    { name: "member-invited", path: `${path}/${invited.memberId}`, cookie },
    { name: "member-remove", path: `${path}/${approver.memberId}/remove`, cookie },
    { name: "member-withdraw", path: `${path}/${invited.memberId}/remove`, cookie },
  ];
}
