import { sql } from "kysely";
import { accountKey } from "../../src/lib/ids.ts";
import type { Site } from "./browser.ts";
import { createFixture, type Fixture, fund, operate } from "./fixtures.ts";
import { createHuman, type HumanFixture, hiddenValue, open, PASSWORD, submit } from "./humans.ts";

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

/** Right-to-left text, an override, a name with marks piled up, markup, and no place to break a line. */
export const HOSTILE = {
  name: `\u202eمرحلة أولى <b>Paid</b> ${"w".repeat(120)}`,
  displayName: `Ma\u202eria ${"\u0301\u0310\u0323".repeat(8)} ${"G".repeat(100)}`,
  title: `עבודה — <script>alert(1)</script> ${"long ".repeat(20)}`,
};
