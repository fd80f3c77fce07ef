import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { claimProcessor } from "../../src/billing/stripe-store.ts";
import { createFixture } from "../support/fixtures.ts";
import { ownerOf } from "../support/owner.ts";
import { runProgram } from "../support/process.ts";
import { openStripeRails } from "../support/rails.ts";
import { serviceEnvironment, startService } from "../support/service.ts";
import { confirmNow, createStories, type Story } from "../support/stories.ts";

const STRIPE = {
  STRIPE_SECRET_KEY: "sk_test_abc123",
  STRIPE_PUBLISHABLE_KEY: "pk_test_abc123",
  STRIPE_WEBHOOK_SECRET: "whsec_abc123",
};

describe("a database's books", () => {
  test("can become another processor's while they hold no card and no payment", async () => {
    const { app, db } = await startService();
    await createFixture(app, { card: false });
    for (const name of ["stripe_test", "stripe_live", "sandbox"] as const)
      expect(await claimProcessor(db, name)).toBe(true);
  });

  test("stay the sandbox's once they hold a card, even one that was removed", async () => {
    const { app, db } = await startService();
    await createFixture(app);
    await sql`update payment_methods set removed_at = now(), is_default = false`.execute(db);
    expect(await claimProcessor(db, "stripe_test")).toBe(false);
    expect(await claimProcessor(db, "sandbox")).toBe(true);
    await expect(sql`update processor set name = 'stripe_live'`.execute(db)).rejects.toMatchObject({
      code: "23503",
    });
    // The running role has no right to either; the owner is refused too.
    const owner = ownerOf(db);
    await expect(sql`delete from processor`.execute(owner)).rejects.toMatchObject({ code: "23001" });
    await expect(
      sql`insert into processor (id, name) values (gen_random_uuid(), 'stripe_live')`.execute(owner),
    ).rejects.toMatchObject({ code: "23505" });
  });

  test("take no card of another processor", async () => {
    const { app, db } = await startService({}, undefined, await openStripeRails());
    await createFixture(app);
    await expect(sql`update payment_methods set processor = 'sandbox'`.execute(db)).rejects.toMatchObject({
      code: "23503",
    });
    await expect(
      sql`insert into payment_methods (account_id, id, brand, last4, exp_month, exp_year, is_default, created_at)
        select account_id, 'pm_other', 'visa', '4242', 1, 2030, false, now() from accounts limit 1`.execute(
        db,
      ),
    ).rejects.toMatchObject({ code: "23503" });
  });

  test("take no payment of another processor", async () => {
    const rails = await openStripeRails();
    const { app, db, config } = await startService({}, undefined, rails);
    const { stories } = await createStories(app, rails.cards.pays, 1);
    const mistaken = { ...rails.open(db), name: "sandbox" as const };
    await expect(confirmNow({ db, config, processor: mistaken }, stories[0] as Story)).rejects.toMatchObject({
      code: "23503",
    });
    expect(rails.stripe.charges().size).toBe(0);
  });

  test("keep a service of another processor from starting, with one line that says what to do", async () => {
    const { app, config } = await startService();
    await createFixture(app);
    const url = config.databaseUrl ?? "";
    for (const command of ["serve", "work"]) {
      const ended = await runProgram([command], { ...serviceEnvironment(url), ...STRIPE });
      expect(ended).toMatchObject({ code: 1, stdout: "" });
      expect(ended.stderr).toMatch(
        /^The database holds cards or payments of another processor, and Stripe's test mode .*\n$/,
      );
    }
  });
});
