import { type RawBuilder, sql } from "kysely";
import { describe, expect, test } from "vitest";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { ownerOf } from "../support/owner.ts";
import { decideEveryWay } from "../support/receipts.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";

const RESTRICT_VIOLATION = "23001";
const FOREIGN_KEY_VIOLATION = "23503";
const UNIQUE_VIOLATION = "23505";
const CHECK_VIOLATION = "23514";

// The service connects with all rights, so that its triggers refuse and not its grants.
const service = await startService();
const { db } = service;
const every = await decideEveryWay({ ...service, processor: createSandbox(db, PUBLIC_URL) });
const { accountId } = every.byPassword.story;
// As the owner, since the running role's grants would refuse most statements first.
const owner = ownerOf(db);
const own = sql`account_id = ${accountId}`;

/** The outcome of a statement: `accepted`, or the error's code; `words` gives its message. */
const state = (statement: RawBuilder<unknown>): Promise<string> =>
  statement.execute(owner).then(
    () => "accepted",
    (error: { code: string }) => error.code,
  );
const words = (statement: RawBuilder<unknown>): Promise<string> =>
  statement.execute(owner).then(
    () => "accepted",
    (error: { message: string }) => error.message,
  );

const PROVING = {
  approvals: "token_name",
  signatures: "user_id",
  payment_signatures: "user_id",
  receipts: "body",
  ledger_entries: "ledger_account",
  payments: "intent_id",
};

describe("what proves something", () => {
  test.each(Object.entries(PROVING))("%s refuse UPDATE, DELETE and TRUNCATE", async (table, column) => {
    const { rows } = await sql`select 1 from ${sql.table(table)} where ${own}`.execute(db);
    expect(rows.length).toBeGreaterThan(0);
    const set = sql`set ${sql.ref(column)} = ${sql.ref(column)} || 'x'`;
    expect(await state(sql`update ${sql.table(table)} ${set} where ${own}`)).toBe(RESTRICT_VIOLATION);
    expect(await state(sql`delete from ${sql.table(table)} where ${own}`)).toBe(RESTRICT_VIOLATION);
    expect(await words(sql`truncate ${sql.table(table)} cascade`)).toBe(`${table} rows are never changed`);
  });

  test.each(["invoices", "reversals", "account_heads"])("%s cannot be emptied", async (table) => {
    expect(await words(sql`truncate ${sql.table(table)} cascade`)).toBe(`${table} rows are never changed`);
  });
});

describe("the chain", () => {
  const insert = (row: {
    index: number;
    after?: number;
    previous: Buffer;
    body: string;
    digest?: Buffer;
    approval: string;
  }) => sql`
    insert into receipts (account_id, chain_index, previous_index, approval_id, previous_digest, digest, body, created_at)
    values (${accountId}, ${row.index}, ${row.after ?? row.index - 1}, ${row.approval}, ${row.previous},
      ${row.digest ?? sql`sha256(convert_to(${row.body}, 'UTF8'))`}, ${row.body}, now())`;
  const digestOf = (of: { receipt: { chain: { digest: string } } }) =>
    Buffer.from(of.receipt.chain.digest, "hex");
  const last = digestOf(every.declined);

  test("the chain rejects a link with a gap, another predecessor, a fork or a wrong digest", async () => {
    // The approval's unique key is checked last, as the other checks refuse first.
    const approval = every.byPassword.story.approvalId;
    const body = "{}";
    expect(
      await state(insert({ index: 5, previous: last, body, digest: Buffer.alloc(32, 1), approval })),
    ).toBe(CHECK_VIOLATION);
    expect(await state(insert({ index: 4, previous: digestOf(every.afterRefusal), body, approval }))).toBe(
      UNIQUE_VIOLATION,
    );
    await sql`alter table receipts drop constraint receipts_account_id_approval_id_key`.execute(owner);
    expect(await state(insert({ index: 6, previous: last, body, approval }))).toBe(FOREIGN_KEY_VIOLATION);
    expect(await state(insert({ index: 6, after: 4, previous: last, body, approval }))).toBe(CHECK_VIOLATION);
    const fork = { index: 3_000_000_000, after: 3, previous: digestOf(every.afterRefusal), body, approval };
    expect(await state(insert(fork))).toBe(UNIQUE_VIOLATION);
    expect(await state(insert({ index: 5, previous: digestOf(every.afterRefusal), body, approval }))).toBe(
      FOREIGN_KEY_VIOLATION,
    );
    expect(await state(insert({ index: 5, previous: last, body, approval }))).toBe("accepted");
  });

  test("the chain's head advances link by link, and cannot go back or be deleted", async () => {
    const set = (change: RawBuilder<unknown>) => state(sql`update account_heads set ${change} where ${own}`);
    for (const change of [
      sql`chain_index = chain_index - 1`,
      sql`chain_index = chain_index + 2`,
      sql`chain_digest = decode(repeat('ab', 32), 'hex')`,
      sql`chain_index = 0, chain_digest = decode(repeat('00', 32), 'hex')`,
    ])
      expect(await set(change)).toBe(RESTRICT_VIOLATION);
    expect(await set(sql`last_event = last_event + 1`)).toBe("accepted");
    expect(
      await set(sql`chain_index = chain_index + 1, chain_digest = decode(repeat('ab', 32), 'hex')`),
    ).toBe("accepted");
    expect(await state(sql`delete from account_heads where ${own}`)).toBe(RESTRICT_VIOLATION);
  });
});
