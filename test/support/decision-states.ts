import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { begin, decide, putCard, type Story, type StoryOptions } from "./approval-scene.ts";
import type { Site } from "./browser.ts";
import { askEnd, askRelease, createEscrow } from "./escrow.ts";
import { call, fund, operate } from "./fixtures.ts";
import { createHuman, hiddenValue, open, submit } from "./humans.ts";
import type { PageState } from "./page-states.ts";

/** An approval's page where two people must confirm, where something has changed, and of a release and an end. */
export async function decisionStates(site: Site): Promise<PageState[]> {
  const { app, db, config, origin } = site;
  const states: PageState[] = [];
  const add = async (name: string, options: StoryOptions, then: (story: Story) => unknown): Promise<void> => {
    const story = await begin(site, options);
    const cookie = await then(story);
    states.push({ name, path: story.path, cookie: typeof cookie === "string" ? cookie : story.cookie });
  };
  const confirmFirst = async (story: Story): Promise<string> => {
    await operate(app, "PUT", `/accounts/${story.account}`, { secondSignerFromUsd: 450 });
    const second = await createHuman(app, story.account, "viewer");
    await db.updateTable("members").set({ role: "approver" }).where("id", "=", second.memberId).execute();
    await decide(site, story, "confirm");
    return second.cookie;
  };
  await add("two-people", {}, ({ account }) =>
    operate(app, "PUT", `/accounts/${account}`, { secondSignerFromUsd: 450 }),
  );
  await add("two-people-first", {}, async (story) => {
    await confirmFirst(story);
  });
  await add("two-people-second", {}, confirmFirst);
  await add("two-people-outdated", {}, async (story) => {
    const cookie = await confirmFirst(story);
    await putCard(app, story, "pm_card_chargeDeclined");
    return cookie;
  });
  await add("waiting-cancelled", { paymentMethod: "pm_card_authenticationRequired" }, async (story) => {
    await decide(site, story, "confirm");
    const form = `${story.path}/cancel-payment`;
    const form_token = hiddenValue(await open(app, story.path, story), form);
    await submit(app, form, { form_token }, story);
  });
  await add("withdrawn", {}, ({ approvalId, token }) =>
    call(app, "POST", `/approvals/${approvalId}/withdraw`, { token }),
  );
  await add("declined-newer", {}, async (story) => {
    await decide(site, story, "decline");
    await fund(app, story.token, story.milestone);
  });
  await add("waiting-frozen", {}, ({ account }) =>
    operate(app, "PUT", `/accounts/${account}`, { frozen: true }),
  );
  const deps = { db, config, processor: createSandbox(db, origin) };
  for (const [name, ask] of [
    ["release", askRelease],
    ["end", askEnd],
  ] as const) {
    const escrow = await createEscrow(app, deps, { count: 2 });
    const waiting = { ...(await ask(app, escrow)), ...escrow.human };
    states.push({ name: `waiting-${name}`, path: waiting.path, cookie: waiting.cookie });
    const done = await createEscrow(app, deps, { count: 2 });
    const story = { ...(await ask(app, done)), ...done.human } as unknown as Story;
    await decide(site, story, "confirm");
    states.push({ name: `confirmed-${name}`, path: story.path, cookie: story.cookie });
  }
  return states;
}
