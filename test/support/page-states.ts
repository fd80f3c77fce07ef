import type { Page } from "playwright-core";
import { expire } from "../http/rows.ts";
import {
  begin,
  decide,
  HOSTILE,
  letProofAge,
  putCard,
  type Story,
  type StoryOptions,
} from "./approval-scene.ts";
import type { Site } from "./browser.ts";
import { claimStates } from "./claim-states.ts";
import { coSignStates } from "./co-sign-states.ts";
import { decisionStates } from "./decision-states.ts";
import { createFixture, createMilestone, fund, operate } from "./fixtures.ts";
import { createHuman, invite, open } from "./humans.ts";
import { some } from "./long.ts";
import { passkeyStates } from "./passkey-states.ts";
import { pendingStates } from "./pending-states.ts";
import { policyStates } from "./policy-states.ts";
import { keyStates, teamStates, webhookStates } from "./settings-states.ts";

/** A page as a person sees it. */
export type PageState = {
  name: string;
  path: string;
  /** The session of the signed-in person. */
  cookie?: string;
  /** What the person does there to see it. */
  act?: (page: Page) => Promise<void>;
};

const LONG = "Label every scene, and write to billing@payee.example when you have paid. "
  .repeat(70)
  .slice(0, 5_000);

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
