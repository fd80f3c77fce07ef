import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import Stripe from "stripe";
import { expect, test } from "vitest";
import { cloneDatabase } from "../support/clones.ts";
import { startProcess, waitUntil } from "../support/process.ts";
import { openStripeRails } from "../support/rails.ts";
import { OPERATOR_KEY } from "../support/service.ts";
import { acceptAt, browserOf, decideAt, fieldOf } from "../support/visitor.ts";

const ROOT = join(import.meta.dirname, "../..");
const KILLED_MAIN = join(ROOT, "test/support/killed-main.ts");

/** The commands of a step of the page, as they stand there. */
async function commandsOf(step: string): Promise<string> {
  const page = await readFile(join(ROOT, "docs/stripe.md"), "utf8");
  const section = page.slice(page.indexOf(`\n## ${step}`));
  const commands = /```sh\n([\s\S]*?)```/.exec(section)?.[1];
  if (commands === undefined) throw new Error(`docs/stripe.md has no commands for ${step}`);
  return commands;
}

test("what docs/stripe.md says leads to a payment at Stripe, pasted as it stands there", async () => {
  const rails = await openStripeRails();
  const { stripe } = rails;
  // As `KILL_AT` names nothing, it is the real program with Stripe elsewhere.
  const service = await startProcess("start", await cloneDatabase(), rails.env, KILLED_MAIN);
  const origin = `http://localhost:${service.port}`;
  stripe.sendEventsTo(`${origin}/stripe/webhook`);

  const folder = await mkdtemp(join(tmpdir(), "countersign-docs-"));
  await writeFile(join(folder, ".env"), `SESSION_SECRET=x\nOPERATOR_API_KEY=${OPERATOR_KEY}\n`);
  const commands = (await commandsOf("4. ")).replace("http://localhost:3000", origin);
  const { stdout } = await promisify(execFile)("sh", ["-ec", commands], { cwd: folder });
  await rm(folder, { recursive: true });
  const answers = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(answers.map((answer) => Object.keys(answer)[0])).toEqual([
    "account",
    "contract",
    "milestone",
    "member",
    "token",
  ]);
  const inviteUrl = new URL(answers[3].inviteUrl);
  expect(inviteUrl.origin).toBe(origin);

  const cookie = await acceptAt(origin, inviteUrl.searchParams.get("token") ?? "");
  const browser = browserOf(() => origin, cookie);
  const billing = await browser.open("/billing");
  const accountId = fieldOf(billing, "/billing/new-card", "accountId");
  const form_token = fieldOf(billing, "/billing/new-card");
  const begun = await browser.submit("/billing/new-card", { accountId, form_token });
  const setup = String(begun.headers.location).split("/").at(-1) ?? "";
  const client = new Stripe(stripe.secretKey, stripe.at);
  await client.setupIntents.confirm(setup, { payment_method: "pm_card_visa", return_url: origin });
  // The person never returns: Stripe's event puts the card on file.
  await waitUntil(
    async () => (await browser.open("/billing")).text.includes("ending in 4242"),
    "the card is on file",
  );

  const asked = await service.call("POST", "/milestones/m1/fund", { token: answers[4].token });
  expect(asked.status).toBe(202);
  const { approvalUrl } = asked.body.approval;
  const { status } = await decideAt(browser, new URL(approvalUrl).pathname, "confirm");
  expect(status).toBe(303);
  expect((await browser.open(new URL(approvalUrl).pathname)).text).toContain("Funded.");
  expect([...stripe.charges().values()].map(({ amount, currency }) => [amount, currency])).toEqual([
    [45_000, "usd"],
  ]);
  await stripe.deliveries.settled();
  const refused = stripe.deliveries.log().filter((delivery) => delivery.status !== 200);
  expect(refused).toEqual([]);
});

test("the events that docs/stripe.md asks for are all that Stripe sends of what we act on", async () => {
  const page = await readFile(join(ROOT, "docs/stripe.md"), "utf8");
  const listed = [...page.matchAll(/\b(?:payment_intent|setup_intent|charge|refund)\.[a-z_.]+/g)].map(
    ([type]) => type,
  );
  const { stripe } = await openStripeRails();
  const client = new Stripe(stripe.secretKey, stripe.at);
  const pay = async (payment_method: string) => {
    const created = await client.paymentIntents.create({ amount: 45_000, currency: "usd", payment_method });
    await client.paymentIntents
      .confirm(created.id, { return_url: "https://pay.example.com" })
      .catch(() => {});
    return created.id;
  };
  stripe.failRefund(stripe.refund(await pay("pm_card_visa"), 100).id);
  stripe.closeDispute(stripe.dispute(await pay("pm_card_visa")).id, "won");
  await pay("pm_card_chargeCustomerFail");
  await client.paymentIntents.cancel(
    (await client.paymentIntents.create({ amount: 100, currency: "usd" })).id,
  );
  const sent = new Set([...stripe.books.events.values()].map(({ type }) => type));
  // They tell of the same moment as another that is listed, or of nothing that we would do.
  const left = [
    "payment_intent.created",
    "charge.succeeded",
    "charge.updated",
    "charge.failed",
    "charge.refund.updated",
  ];
  const subjects = /^(payment_intent|setup_intent|charge|refund)\./;
  expect(
    [...sent].filter((type) => subjects.test(type) && !listed.includes(type) && !left.includes(type)),
  ).toEqual([]);
  expect(listed.filter((type) => sent.has(type)).length).toBeGreaterThan(7);
});
