import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RawBuilder, sql } from "kysely";
import { afterAll, describe, expect, test } from "vitest";
import { audit } from "../../src/app/audit.ts";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { canonicalText } from "../../src/lib/canonical.ts";
import type { LinkedContent } from "../../src/receipts/schemas.ts";
import { operate } from "../support/fixtures.ts";
import { some } from "../support/long.ts";
import { ownerOf } from "../support/owner.ts";
import { runProgram } from "../support/process.ts";
import { decideEveryWay, declineNow } from "../support/receipts.ts";
import { PUBLIC_URL, serviceEnvironment, startService } from "../support/service.ts";
import { confirmNow, createStories, type Story } from "../support/stories.ts";
import { fundingOf } from "../support/terms.ts";

const folder = await mkdtemp(join(tmpdir(), "countersign-audit-"));
afterAll(() => rm(folder, { recursive: true, force: true }));
let files = 0;
const newFile = () => {
  files += 1;
  return join(folder, `heads-${files}`);
};

/** A service of its own with every kind of decision. */
async function createWorld() {
  const service = await startService();
  const every = await decideEveryWay({ ...service, processor: createSandbox(service.db, PUBLIC_URL) });
  const { db, config } = service;
  const owner = ownerOf(db);
  const { accountId } = every.byPassword.story;
  const run = async (...args: string[]) => {
    const lines: string[] = [];
    const code = await audit(config, args, (line) => lines.push(line));
    return { code, text: lines.join("\n") };
  };
  /** Writes as the database's administrator, whom the triggers do not bind. */
  const tamper = (...statements: RawBuilder<unknown>[]) =>
    owner.transaction().execute(async (trx) => {
      await sql`set local session_replication_role = replica`.execute(trx);
      for (const statement of statements) await statement.execute(trx);
    });
  const own = sql`account_id = ${accountId}`;
  /** Rewrites a receipt and its digest, and relinks those after it, so that the chain is consistent. */
  const rewrite = async (index: number, change: (content: LinkedContent) => void) => {
    await sql`alter table receipts drop constraint if exists
      receipts_account_id_previous_index_previous_digest_fkey`.execute(owner);
    const links = await db
      .selectFrom("receipts")
      .where("account_id", "=", accountId)
      .orderBy("chain_index")
      .selectAll()
      .execute();
    let previous = links[0]?.previous_digest as Buffer;
    for (const link of links) {
      const content: LinkedContent = JSON.parse(link.body);
      if (link.chain_index === index) change(content);
      content.chain.previousDigest = previous.toString("hex");
      const body = canonicalText(content);
      await tamper(sql`update receipts set body = ${body}, previous_digest = ${previous},
        digest = sha256(convert_to(${body}, 'UTF8')) where ${own} and chain_index = ${link.chain_index}`);
      const { rows } = await sql<{ digest: Buffer }>`
        select digest from receipts where ${own} and chain_index = ${link.chain_index}`.execute(db);
      previous = rows[0]?.digest as Buffer;
    }
    await tamper(sql`update account_heads set chain_digest = ${previous} where ${own}`);
  };
  return { ...service, every, fixture: every.fixture, own, run, tamper, rewrite };
}

describe("audit", () => {
  test("the audit finds nothing wrong in intact chains, also after renames and refunds", async () => {
    const { app, db, fixture, run, every } = await createWorld();
    await operate(app, "PUT", `/accounts/${fixture.account}`, { name: "Another name" });
    await db
      .updateTable("members")
      .set({ name: "Mallory", email: "m@example.com" })
      .where("user_id", "is not", null)
      .execute();
    const saved = newFile();
    const { code, text } = await run("--save", saved);
    const { digest } = every.declined.receipt.chain;
    expect([code, text]).toEqual([
      0,
      [
        `${fixture.account}: ok, head 4:${digest}`,
        "Checked 4 receipts of 1 accounts: 0 findings.",
        `The heads are in ${saved}.`,
      ].join("\n"),
    ]);
    expect(await readFile(saved, "utf8")).toBe(`${fixture.account} 4:${digest}\n`);
    expect((await run("--heads", saved, "--save", saved)).code).toBe(0);
  });

  test("the audit counts receipts, whose numbers jump with the database's server", async () => {
    const service = await startService();
    const { stories } = await createStories(service.app, "pm_card_visa", 2);
    const deps = { ...service, processor: createSandbox(service.db, PUBLIC_URL) };
    await confirmNow(deps, stories[0] as Story);
    await sql`
      create or replace function server_run() returns text language sql stable as $$ select 'another' $$`.execute(
      ownerOf(service.db),
    );
    await declineNow(deps, stories[1] as Story);
    const lines: string[] = [];
    expect(await audit(service.config, [], (line) => lines.push(line))).toBe(0);
    expect(lines[0]).toMatch(/: ok, head \d{7,}:/);
    expect(lines[1]).toBe("Checked 2 receipts of 1 accounts: 0 findings.");
  });

  test("the audit names each row that was changed under a receipt", async () => {
    const { own, run, tamper, every } = await createWorld();
    const of = ({ approvalId }: { approvalId: string }) => sql`${own} and approval_id = ${approvalId}`;
    const { byPassword, byPasskey, afterRefusal, declined } = every;
    await tamper(
      sql`update approvals set status = 'confirmed', result = '{}' where ${own} and id = ${declined.story.approvalId}`,
      sql`update approvals set terms = jsonb_set(terms, '{amountCents}', '1') where ${own} and id = ${byPasskey.story.approvalId}`,
      sql`update signatures set user_id = 'another person' where ${of(byPassword.story)}`,
      sql`update ledger_entries set amount_cents = amount_cents * 2 where ${own}
        and payment_id = (select id from payments where ${of(afterRefusal.story)} and status = 'succeeded')`,
      sql`update payments set intent_id = 'pi_other' where ${of(byPasskey.story)}`,
    );
    const { code, text } = await run();
    expect(code).toBe(1);
    for (const finding of [
      "receipt 1: the database says otherwise of what was signed",
      "receipt 1: the database says otherwise of the payments",
      "receipt 2: the database says otherwise of the terms",
      "receipt 2: the database says otherwise of the payments",
      "receipt 3: the ledger does not have what it says was booked",
      "receipt 4: the database says otherwise of the approval",
    ])
      expect(text).toContain(`\n  ${finding}`);
    expect(text).toContain("7 findings.");
  });

  test("the audit finds a changed receipt, and one removed from the middle", async () => {
    const { db, own, run, tamper, every, fixture } = await createWorld();
    await sql`alter table receipts drop constraint receipts_check`.execute(ownerOf(db));
    await tamper(
      sql`delete from receipts where ${own} and chain_index = 2`,
      sql`update receipts set body = replace(body, 'Acme', 'Acne') where ${own} and chain_index = 4`,
    );
    const { code, text } = await run();
    expect([code, text.split("\n").slice(0, -1)]).toEqual([
      1,
      [
        `${fixture.account}: WRONG`,
        "  receipt 3: it follows receipt 1: those between are gone",
        "  receipt 3: it refers to another one than the one before it",
        "  receipt 4: its digest is not the digest of what it says",
        `  approval ${every.byPasskey.story.approvalId} was decided and has no receipt`,
      ],
    ]);
  });

  test("the audit finds a rewritten chain by a kept head, and does not keep the new head", async () => {
    const { run, rewrite, fixture } = await createWorld();
    const saved = newFile();
    await run("--save", saved);
    const kept = await readFile(saved, "utf8");
    await rewrite(1, (content) => {
      content.accountName = "Another name";
    });
    expect((await run()).code).toBe(0);
    const { code, text } = await run("--heads", saved, "--save", saved);
    expect([code, text]).toEqual([
      1,
      expect.stringContaining("receipt 4: it is not the one whose digest was kept"),
    ]);
    expect(text).toContain("The heads were not kept");
    expect(await readFile(saved, "utf8")).toBe(kept);
    expect(text).toContain(`${fixture.account}: WRONG`);
  });

  test("the audit finds a truncated chain and a missing account by kept heads", async () => {
    const { run, tamper, own, every, fixture } = await createWorld();
    const saved = newFile();
    await run("--save", saved);
    await writeFile(saved, `gone-account 7:${"ab".repeat(32)}\n`, { flag: "a" });
    const digest = Buffer.from(every.afterRefusal.receipt.chain.digest, "hex");
    await tamper(
      sql`delete from receipts where ${own} and chain_index = 4`,
      sql`delete from signatures where ${own} and approval_id = ${every.declined.story.approvalId}`,
      sql`delete from co_sign_challenges where ${own}`,
      sql`delete from approvals where ${own} and id = ${every.declined.story.approvalId}`,
      sql`update account_heads set chain_index = 3, chain_digest = ${digest} where ${own}`,
    );
    expect((await run()).code).toBe(0);
    const { code, text } = await run("--heads", saved);
    expect(code).toBe(1);
    expect(text).toContain(
      `${fixture.account}: WRONG\n  the chain ends at 3, before the head that was kept, 4: it was cut short`,
    );
    expect(text).toContain("gone-account: WRONG\n  the account is missing, and a head of its chain was kept");
  });

  test("the audit compares the account's head with its chain", async () => {
    const { run, tamper, own } = await createWorld();
    await tamper(sql`update account_heads set chain_digest = decode(repeat('ab', 32), 'hex') where ${own}`);
    const { code, text } = await run();
    expect([code, text]).toEqual([
      1,
      expect.stringMatching(/the account's head is 4:abab\w+, and its chain ends at 4:/),
    ]);
  });

  test("the audit finds contradictions within a receipt whose digests are right", async () => {
    const { run, rewrite } = await createWorld();
    await rewrite(2, (content) => {
      for (const signed of content.statements) signed.signedAt = content.approval.createdAt;
      fundingOf(content.terms).amountCents = 1;
    });
    const { code, text } = await run();
    expect(code).toBe(1);
    expect(text).toContain("receipt 2: statement 1 is over other terms");
    expect(text).toContain("receipt 2: the database says otherwise of the terms");
    expect(text).toContain("receipt 2: the database says otherwise of what was signed");
  });

  test("the audit counts decisions from before receipts, and reports no fault in them", async () => {
    const { run, tamper, own, every, fixture } = await createWorld();
    await tamper(
      sql`delete from receipts where ${own}`,
      sql`update account_heads set chain_index = 0, chain_digest = decode(repeat('00', 32), 'hex') where ${own}`,
    );
    expect((await run()).text).toContain(
      `approval ${every.declined.story.approvalId} was decided and has no receipt`,
    );
    await tamper(sql`update processor set receipts_since = now()`);
    const { code, text } = await run();
    expect([code, text.split("\n")[0]]).toEqual([
      0,
      `${fixture.account}: ok, head 0:${"0".repeat(64)}; 4 decisions are older than receipts`,
    ]);
  });

  test("the audit command exits with 2 and one line when it cannot run", async () => {
    const { config } = await createWorld();
    const env = serviceEnvironment(config.databaseUrl ?? "");
    const whole = await runProgram(["audit"], env);
    expect([whole.code, whole.stdout]).toEqual([
      0,
      expect.stringContaining("Checked 4 receipts of 1 accounts: 0 findings."),
    ]);
    const damaged = newFile();
    await writeFile(damaged, "acct-1 four\n");
    const failing = [
      [["--heads", join(folder, "none")], "cannot be read"],
      [["--heads", damaged], "are damaged: acct-1 four"],
      [["--save", join(folder, "none", "heads")], "The heads cannot be kept"],
      [["--all"], "audit [--heads FILE] [--save FILE]"],
    ] as const;
    for (const [args, said] of some<(typeof failing)[number]>(failing, 1)) {
      const { code, stderr } = await runProgram(["audit", ...args], env);
      expect([code, stderr]).toEqual([2, expect.stringContaining(said)]);
      expect(stderr.trim().split("\n")).toHaveLength(1);
    }
  });
});
