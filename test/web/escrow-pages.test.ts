import { expect, test } from "vitest";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { askEnd, askRelease, createEscrow, readApproval } from "../support/escrow.ts";
import { createHuman, hiddenValue, open, submit } from "../support/humans.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import type { Story } from "../support/stories.ts";

// No amount is typed here.
const { app, db, config } = await startService({ CONFIRM_AMOUNT_FROM: "1000000" });
const deps = { db, config, processor: createSandbox(db, PUBLIC_URL) };

async function confirm(story: Story, cookie: string) {
  const page = await open(app, story.path, { cookie });
  const form = `${story.path}/confirm`;
  const fields = {
    nonce: hiddenValue(page, form, "nonce"),
    digest: hiddenValue(page, form, "digest"),
    form_token: hiddenValue(page, form),
  };
  expect((await submit(app, form, fields, { cookie })).status).toBe(303);
  return { before: page.text, after: (await open(app, story.path, { cookie })).text };
}

test("The page of a release says to whom it pays, that it cannot be taken back, and what came of it", async () => {
  const escrow = await createEscrow(app, deps);
  const story = await askRelease(app, escrow);
  const { before, after } = await confirm(story, escrow.human.cookie);
  for (const said of [
    "Release",
    "Maria G.",
    "acct_1Maria",
    "Released money cannot be taken back.",
    "Confirm and release",
  ])
    expect(before).toContain(said);
  expect(before).toMatch(/is paid out now, once, to <bdi>Maria G\.<\/bdi> <strong>Released/);
  expect(after).toContain("Released.");
  expect(after).toMatch(/\$450\.00 USD<\/span> was paid out to <bdi>Maria G\.<\/bdi> /);
  const receipt = await open(app, `${story.path}/receipt`, { cookie: escrow.human.cookie });
  expect(receipt.text).toContain("Paid out");
});

test("The page of a contract's end lists each refund and where it goes, and says that the contract has ended", async () => {
  const escrow = await createEscrow(app, deps, { count: 2 });
  const story = await askEnd(app, escrow);
  const { before, after } = await confirm(story, escrow.human.cookie);
  for (const said of [...escrow.milestones, "$900.00", "to the card that paid it", "Confirm, end and refund"])
    expect(before).toContain(said);
  expect(after).toContain("The contract has ended.");
  expect((await open(app, "/approvals", { cookie: escrow.human.cookie })).text).toContain(
    "End the contract and refund",
  );
});

test("A viewer reads the page of a release and of a contract's end, finds no form there, and decides nothing", async () => {
  const escrow = await createEscrow(app, deps, { count: 2 });
  const viewer = await createHuman(app, escrow.fixture.account, "viewer");
  for (const story of [await askRelease(app, escrow), await askEnd(app, escrow)]) {
    const page = await open(app, story.path, viewer);
    expect(page.status).toBe(200);
    expect(page.text).not.toContain(`action="${story.path}`);
    const own = await open(app, story.path, { cookie: escrow.human.cookie });
    for (const verb of ["confirm", "decline"]) {
      const form = `${story.path}/${verb}`;
      const names = ["nonce", "digest", "form_token"] as const;
      const fields = Object.fromEntries(names.map((name) => [name, hiddenValue(own, form, name)]));
      expect((await submit(app, form, fields, viewer)).status).toBe(403);
    }
    expect(await readApproval(app, escrow, story)).toMatchObject({ status: "pending" });
  }
});

test("The billing page lists each invoice and payout with its number, payee, source and receipt", async () => {
  const escrow = await createEscrow(app, deps, { count: 2 });
  const { cookie } = escrow.human;
  const { approvalId, path } = await askRelease(app, escrow);
  await confirm({ accountId: escrow.accountId, approvalId, milestone: "", path }, cookie);
  const { text } = await open(app, "/billing", { cookie });
  const rows = text.slice(text.indexOf("Invoices and payouts")).split("<li>").slice(1);
  const read = rows.map((row) =>
    row
      .replaceAll(/<[^>]*>/g, "")
      .replaceAll(/\s+/g, " ")
      .trim(),
  );
  expect(read).toHaveLength(3);
  expect(read[0]).toContain("Invoice 3 $450.00 USD Payout to Maria G.");
  expect(read[0]).toContain("to acct_1Maria. paid");
  expect(read[2]).toContain("Invoice 1 $450.00 USD Funding for Maria G.");
  expect(read[2]).toContain("from visa 4242. paid");
  expect(rows[0]).toContain(`/approvals/${approvalId}/receipt`);
  expect(text).toContain(`/contracts.csv?account=${escrow.accountId}`);
});

test("A decline sends the note that the person wrote, and the page shows it", async () => {
  const escrow = await createEscrow(app, deps);
  const story = await askRelease(app, escrow);
  const { cookie } = escrow.human;
  const page = await open(app, story.path, { cookie });
  const form = `${story.path}/decline`;
  const fields = {
    nonce: hiddenValue(page, form, "nonce"),
    digest: hiddenValue(page, form, "digest"),
    form_token: hiddenValue(page, form),
    note: "The last file is missing.",
  };
  expect((await submit(app, form, fields, { cookie })).status).toBe(303);
  expect((await open(app, story.path, { cookie })).text).toContain("The last file is missing.");
  expect((await readApproval(app, escrow, story)).result).toEqual({ note: "The last file is missing." });
});
