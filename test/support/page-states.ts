import { sql, type Updateable } from "kysely";
import type { Page } from "playwright-core";
import type { Database } from "../../src/database/schema.ts";
import { EVENT_SCOPES } from "../../src/events/schemas.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { expire } from "../http/rows.ts";
import type { Site } from "./browser.ts";
import { claimStates } from "./claim-states.ts";
import { coSignStates } from "./co-sign-states.ts";
import { decisionStates } from "./decision-states.ts";
import { call, createFixture, createMilestone, type Fixture, fund, operate } from "./fixtures.ts";
import { createHuman, type HumanFixture, hiddenValue, invite, open, PASSWORD, submit } from "./humans.ts";
import { some } from "./long.ts";
import { passkeyStates } from "./passkey-states.ts";
import { pendingStates } from "./pending-states.ts";
import { policyStates } from "./policy-states.ts";
import { createSubscriber, postMessage, subscribe } from "./webhooks.ts";

/** A page as a person sees it. */
export type PageState = {
  name: string;
  path: string;
  /** The session of the signed-in person. */
  cookie?: string;
  /** What the person does there to see it. */
  act?: (page: Page) => Promise<void>;
};

export type Story = Fixture & HumanFixture & { approvalId: string; path: string };

export type StoryOptions = {
  paymentMethod?: string | null;
  role?: "owner" | "approver" | "viewer";
};

/** An account whose agent has asked for a milestone to be funded, and a member of it. */
export async function begin(
  { app }: Pick<Site, "app">,
  { paymentMethod = "pm_card_visa", role = "owner" }: StoryOptions = {},
): Promise<Story> {
  const fixture = await createFixture(app, { card: false });
  await putCard(app, fixture, paymentMethod ?? "pm_card_visa");
  const { body } = await fund(app, fixture.token, fixture.milestone);
  const human = await createHuman(app, fixture.account, role);
  if (paymentMethod === null) await removeCards(app, fixture);
  return { ...fixture, ...human, approvalId: body.approval.id, path: `/approvals/${body.approval.id}` };
}

/** Puts a card on file, which pays from then on. */
export function putCard(
  app: Site["app"],
  { account }: { account: string },
  paymentMethod: string,
): Promise<unknown> {
  return operate(app, "POST", `/accounts/${account}/payment-methods`, { paymentMethod });
}

async function removeCards(app: Site["app"], { account }: Fixture): Promise<void> {
  const { paymentMethods } = await operate(app, "GET", `/accounts/${account}/payment-methods`);
  for (const { id } of paymentMethods)
    await operate(app, "DELETE", `/accounts/${account}/payment-methods/${id}`);
}

/** Confirms or declines without a browser, with all that the page asks for. */
export async function decide({ app }: Pick<Site, "app">, story: Story, decision: "confirm" | "decline") {
  const form = `${story.path}/${decision}`;
  const page = await open(app, story.path, story);
  const fields = Object.fromEntries(
    ["nonce", "digest", "form_token"].map((name) => [name, hiddenValue(page, form, name)]),
  );
  if (decision === "decline") return submit(app, form, fields, story);
  const [, amount] = /Type <span class="amount">(.*?)<\/span> to confirm/.exec(page.text) ?? [];
  const password = page.text.includes('id="password"');
  const asked = { ...(amount && { amount }), ...(password && { password: PASSWORD }) };
  return submit(app, form, { ...fields, ...asked }, story);
}

/** As if the person had signed in a while ago. */
export async function letProofAge({ db }: Pick<Site, "db">, { account }: Fixture): Promise<void> {
  await sql`
    update auth.sessions set proved_at = proved_at - interval '6 minutes'
    where user_id in (select user_id from members where account_id = ${accountKey(account)})`.execute(db);
}

const LONG = "Label every scene, and write to billing@payee.example when you have paid. "
  .repeat(70)
  .slice(0, 5_000);
/** Right-to-left text, an override, a name with marks piled up, markup, and no place to break a line. */
const HOSTILE = {
  name: `\u202eمرحلة أولى <b>Paid</b> ${"w".repeat(120)}`,
  displayName: `Ma\u202eria ${"\u0301\u0310\u0323".repeat(8)} ${"G".repeat(100)}`,
  title: `עבודה — <script>alert(1)</script> ${"long ".repeat(20)}`,
};

/** Every page in every state that it has, each with an account of its own where it needs one; in an everyday run the approval's alone. */
export async function createPageStates(site: Site): Promise<PageState[]> {
  const groups = [
    approvalStates,
    hostileState,
    inboxStates,
    billingStates,
    visitorStates,
    memberStates,
    webhookStates,
    keyStates,
    teamStates,
    claimStates,
    coSignStates,
    decisionStates,
    passkeyStates,
    pendingStates,
    policyStates,
    receiptStates,
    contractStates,
  ];
  // One after the other: all at once they fill the password queue, which then answers 503.
  const states: PageState[] = [];
  for (const create of some(groups, 1)) states.push(...(await create(site)));
  return states;
}

async function approvalStates(site: Site): Promise<PageState[]> {
  const { app, db } = site;
  const state = async (
    name: string,
    options: StoryOptions,
    then: (story: Story) => unknown = () => {},
    act?: PageState["act"],
  ): Promise<PageState> => {
    const story = await begin(site, options);
    await then(story);
    return { name, path: story.path, cookie: story.cookie, ...(act && { act }) };
  };
  const confirm = (story: Story) => decide(site, story, "confirm");
  const press = (name: RegExp) => (page: Page) => page.getByRole("button", { name }).click();
  return Promise.all([
    state("waiting", {}),
    state("waiting-refused", { paymentMethod: "pm_card_chargeDeclinedInsufficientFunds" }, confirm),
    state("waiting-another-card", { paymentMethod: "pm_card_chargeDeclined" }, async (story) => {
      await confirm(story);
      await putCard(app, story, "pm_card_visa");
    }),
    state("waiting-no-card", { paymentMethod: null }),
    state("waiting-viewer", { role: "viewer" }),
    state("waiting-password", {}, (story) => letProofAge(site, story)),
    state(
      "waiting-password-wrong",
      {},
      (story) => letProofAge(site, story),
      async (page) => {
        await page.getByLabel("Your password").fill("not this one");
        await press(/Confirm/)(page);
      },
    ),
    (async () => {
      const story = await begin(site);
      const act = async (page: Page): Promise<void> => {
        await operate(app, "POST", `/accounts/${story.account}/payment-methods`, {
          paymentMethod: "pm_sandbox_slow",
        });
        await press(/Confirm/)(page);
      };
      return { name: "waiting-stale", path: story.path, cookie: story.cookie, act };
    })(),
    state("executing", { paymentMethod: "pm_sandbox_timeout" }, confirm),
    state("bank", { paymentMethod: "pm_card_authenticationRequired" }, confirm),
    state("confirmed", {}, confirm),
    state("declined", {}, (story) => decide(site, story, "decline")),
    state("expired", {}, (story) => expire(db, story, story.approvalId)),
    state("ended-early", {}, ({ account, milestone }) =>
      operate(app, "PUT", `/accounts/${account}/milestones/${milestone}`, { amountUsd: 460 }),
    ),
  ]);
}

/** What the operator or an agent wrote is long, turned around, and out to mislead. */
async function hostileState(site: Site): Promise<(PageState & { contract: string })[]> {
  const { app } = site;
  const fixture = await createFixture(app);
  const { account, contract, milestone } = fixture;
  const { name, displayName, title } = HOSTILE;
  const { contract: stored } = await operate(app, "GET", `/accounts/${account}/contracts/${contract}`);
  await operate(app, "PUT", `/accounts/${account}/contracts/${contract}`, {
    title,
    freelancer: { ...stored.freelancer, displayName, payoutAccount: "acct_".padEnd(255, "x") },
  });
  await operate(app, "PUT", `/accounts/${account}/milestones/${milestone}`, {
    name,
    description: LONG,
    amountUsd: 999_999.99,
  });
  const { body } = await fund(app, fixture.token, milestone);
  const { cookie } = await createHuman(app, account);
  return [
    { name: "waiting-hostile", path: `/approvals/${body.approval.id}`, cookie, contract },
    { name: "inbox-hostile", path: "/approvals", cookie, contract },
  ];
}

async function receiptStates(site: Site): Promise<PageState[]> {
  const story = await begin(site, { paymentMethod: "pm_card_chargeDeclinedInsufficientFunds" });
  await decide(site, story, "confirm");
  await putCard(site.app, story, "pm_card_visa");
  await decide(site, story, "confirm");
  const [hostile] = await hostileState(site);
  const { cookie = "", path = "" } = hostile ?? {};
  await decide(site, { cookie, path } as Story, "decline");
  const waiting = await begin(site);
  return [
    { name: "receipt-paid", path: `${story.path}/receipt`, cookie: story.cookie },
    { name: "receipt-hostile", path: `${path}/receipt`, cookie },
    { name: "receipt-none", path: `${waiting.path}/receipt`, cookie: waiting.cookie },
  ];
}

async function contractStates(site: Site): Promise<PageState[]> {
  const { app } = site;
  const story = await begin(site);
  const { account, contract, milestone, cookie } = story;
  const viewer = await createHuman(app, account, "viewer");
  await decide(site, story, "confirm");
  for (const [i, then] of ["fund", "decline", "cancel", "none"].entries()) {
    const id = `${milestone}-${i}`;
    await createMilestone(app, story, id);
    if (then === "cancel") await operate(app, "POST", `/accounts/${account}/milestones/${id}/cancel`);
    if (then !== "fund" && then !== "decline") continue;
    const { body } = await fund(app, story.token, id);
    if (then === "decline")
      await decide(site, { ...story, path: `/approvals/${body.approval.id}` }, "decline");
  }
  const path = `/contracts/${contract}`;
  const nobody = `acct-without-${account}`;
  await operate(app, "PUT", `/accounts/${nobody}`, { name: "Acme", claimed: true });
  const empty = await createHuman(app, nobody);
  const frozen = await begin(site);
  await operate(app, "PUT", `/accounts/${frozen.account}`, { frozen: true });
  const [hostile] = await hostileState(site);
  const hostilePath = `/contracts/${hostile?.contract ?? ""}`;
  const press = (name: RegExp) => (page: Page) => page.getByRole("button", { name }).click();
  return [
    { name: "contracts", path: "/contracts", cookie },
    { name: "contracts-empty", path: "/contracts", cookie: empty.cookie },
    { name: "contract", path, cookie },
    { name: "contract-viewer", path, cookie: viewer.cookie },
    { name: "contract-rejected", path, cookie, act: press(/^Release/) },
    { name: "contract-end", path: `${path}/end`, cookie },
    { name: "contract-frozen", path: `/contracts/${frozen.contract}`, cookie: frozen.cookie },
    { name: "contract-hostile", path: hostilePath, cookie: hostile?.cookie ?? "" },
  ];
}

async function inboxStates(site: Site): Promise<PageState[]> {
  const { app } = site;
  const empty = await createHuman(app, (await createFixture(app)).account);
  const story = await begin(site);
  await decide(site, story, "decline");
  for (let i = 1; i <= 6; i++) {
    await createMilestone(app, story, `${story.milestone}-${i}`);
    const { body } = await fund(app, story.token, `${story.milestone}-${i}`);
    const decided = { ...story, path: `/approvals/${body.approval.id}` };
    if (i > 3) await decide(site, decided, i === 4 ? "decline" : "confirm");
  }
  return [
    { name: "inbox-empty", path: "/approvals", cookie: empty.cookie },
    { name: "inbox-many", path: "/approvals", cookie: story.cookie },
  ];
}

async function billingStates(site: Site): Promise<PageState[]> {
  const { app } = site;
  const none = await createHuman(app, (await createFixture(app, { card: false })).account);
  const story = await begin(site, { paymentMethod: "pm_card_chargeDeclined" });
  await decide(site, story, "confirm");
  await putCard(app, story, "pm_card_visa");
  await decide(site, story, "confirm");
  const { cookie } = story;
  return [
    { name: "billing-none", path: "/billing", cookie: none.cookie },
    { name: "billing-cards", path: "/billing?said=added", cookie },
    {
      name: "billing-error",
      path: "/billing",
      cookie,
      act: async (page) => {
        await page.getByLabel("Number of a test card").fill("5555 5555 5555 4444");
        await page.getByRole("button", { name: "Add card" }).click();
      },
    },
  ];
}

async function visitorStates(site: Site): Promise<PageState[]> {
  const { app } = site;
  const { account } = await createFixture(app);
  const first = await invite(app, account, "owner");
  const { account: other } = await createFixture(app);
  await createHuman(app, other);
  const waits = await invite(app, other, "approver");
  return [
    { name: "home", path: "/" },
    { name: "sign-in", path: "/sign-in?return_to=/approvals" },
    {
      name: "sign-in-wrong",
      path: "/sign-in",
      act: async (page) => {
        await page.getByLabel("Email").fill("nobody@example.com");
        await page.getByLabel("Password").fill("not this one");
        await page.getByRole("main").getByRole("button", { name: "Sign in", exact: true }).click();
      },
    },
    { name: "invite", path: `/invite?token=${first.token}` },
    { name: "invite-waits", path: `/invite?token=${waits.token}` },
    { name: "invite-over", path: "/invite?token=none" },
    { name: "reset", path: "/reset" },
    { name: "reset-over", path: "/reset/new?token=none" },
    {
      name: "reset-asked",
      path: "/reset",
      act: async (page) => {
        await page.getByLabel("Email").fill("nobody@example.com");
        await page.getByRole("button", { name: "Send link" }).click();
      },
    },
    { name: "sign-up", path: "/sign-up" },
    { name: "invite-incomplete", path: "/invite" },
    { name: "not-found", path: "/nowhere" },
  ];
}

async function webhookStates(site: Site): Promise<PageState[]> {
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

async function keyStates(site: Site): Promise<PageState[]> {
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

async function teamStates(site: Site): Promise<PageState[]> {
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

async function memberStates(site: Site): Promise<PageState[]> {
  const story = await begin(site, { paymentMethod: "pm_card_authenticationRequired" });
  await decide(site, story, "confirm");
  const { text } = await open(site.app, story.path, story);
  const bank = /href="[^"]*(\/sandbox\/authenticate\/[^"]+)"/.exec(text)?.[1] ?? "";
  const { cookie } = story;
  return [
    { name: "sandbox-bank", path: bank, cookie },
    { name: "security", path: "/settings/security", cookie },
    { name: "not-yours", path: "/approvals/01a20756-15d0-7382-baf7-0c713413241c", cookie },
    {
      name: "form-refused",
      path: story.path,
      cookie,
      act: async (page) => {
        await page
          .locator('form[action$="/cancel-payment"] input[name="form_token"]')
          .evaluate((input) => input.setAttribute("value", "another"));
        await page.getByRole("button", { name: "Cancel this payment" }).click();
      },
    },
  ];
}
