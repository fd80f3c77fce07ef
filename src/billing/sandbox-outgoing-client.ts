import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { readClock } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import { sendRefusalOf } from "./decline-rules.ts";
import type { Outgoing, Sent, SentFilter, SentRecord, SentState } from "./processor.ts";
import * as books from "./sandbox-outgoing-store.ts";

const SLOW = 3_000;

type Behaviour = { slow?: true; loses?: true; pending?: true; fails?: true; waits?: true; refused?: string };

/** Payee accounts that simulate an outcome. Any other is paid at once. */
export const TEST_ACCOUNTS: ReadonlyMap<string, Behaviour> = new Map<string, Behaviour>([
  ["acct_sandbox_slow", { slow: true }],
  ["acct_sandbox_timeout", { loses: true }],
  ["acct_sandbox_closed", { refused: "account_closed" }],
  ["acct_sandbox_pending", { pending: true }],
  ["acct_sandbox_fails_later", { pending: true, fails: true }],
  ["acct_sandbox_no_balance", { waits: true }],
]);
const FAILING = [...TEST_ACCOUNTS].filter(([, { fails }]) => fails).map(([account]) => account);

/** The outcomes of refunds to test cards: Stripe's published ones and some of our own. */
const REFUNDS: ReadonlyMap<string, Behaviour> = new Map<string, Behaviour>([
  ["pm_sandbox_slow", { slow: true }],
  ["pm_sandbox_timeout", { loses: true }],
  ["pm_card_pendingRefund", { pending: true }],
  ["pm_sandbox_refund_refused", { refused: "declined" }],
]);

/** The sandbox's payouts. They move nothing and are recorded. */
export function sandboxPayouts(db: Db): Outgoing {
  return {
    async send({ accountId, key, body }): Promise<Sent> {
      const asked = body as books.AskedTransfer;
      const behaves = TEST_ACCOUNTS.get(asked.destination) ?? {};
      if (behaves.refused !== undefined) return sendRefusalOf(behaves.refused);
      // Waits until it is sent again under the next key.
      if (behaves.waits && key.endsWith(":0")) return { status: "waiting" };
      if (behaves.slow) await delay(SLOW);
      const made = { id: newBookId("tr"), accountId, key, now: await readClock(db) };
      const row = await books.insertTransfer(db, made, asked, {
        status: behaves.pending ? "pending" : "paid",
      });
      return answer(row, behaves);
    },
    async find(id) {
      await books.settleTransfers(db, FAILING);
      const [row] = await books.listTransfers(db, { id });
      return row && toRecord(row);
    },
    async *list(of: SentFilter) {
      if ("milestoneId" in of) await books.settleTransfers(db, FAILING);
      for (const row of await books.listTransfers(db, of)) yield toRecord(row);
    },
  };
}

/** The sandbox's refunds to test cards. */
export function sandboxRefunds(db: Db): Outgoing {
  return {
    async send({ accountId, key, body }): Promise<Sent> {
      const asked = body as books.AskedRefund;
      const behaves = REFUNDS.get((await books.readTestMethod(db, asked.sourceIntentId)) ?? "") ?? {};
      if (behaves.slow) await delay(SLOW);
      const { refused } = behaves;
      const status = refused !== undefined ? "failed" : behaves.pending ? "pending" : "succeeded";
      const made = { id: newBookId("re"), accountId, key, now: await readClock(db) };
      const outcome = { status, failureCode: refused ?? null } as const;
      const row = await books.insertRefund(db, made, asked, outcome);
      return row === undefined ? sendRefusalOf("refund_exceeds_charge") : answer(row, behaves);
    },
    async find(id) {
      await books.settleRefunds(db);
      const [row] = await books.listRefunds(db, { id });
      return row && toRecord(row);
    },
    async *list(of: SentFilter) {
      if ("milestoneId" in of) await books.settleRefunds(db);
      for (const row of await books.listRefunds(db, of)) yield toRecord(row);
    },
  };
}

function answer(row: books.OutgoingRow & { same_body: boolean }, { loses }: Behaviour): Sent {
  if (loses) throw new Error("the sandbox's answer was lost on the way");
  return row.same_body ? { status: "sent", record: toRecord(row) } : { status: "key_taken" };
}

function toRecord(row: books.OutgoingRow): SentRecord {
  return {
    id: row.id,
    attemptId: row.metadata.attemptId ?? null,
    accountId: row.account_id,
    milestoneId: row.metadata.milestoneId ?? null,
    amountCents: row.amount_cents,
    currency: row.currency,
    returnedCents: row.returned_cents,
    state: stateOf(row),
    createdAt: row.created_at,
  };
}

function stateOf({ status, failure_code: code }: books.OutgoingRow): SentState {
  if (status === "pending") return { status: "pending" };
  return status === "failed" ? sendRefusalOf(code) : { status: "succeeded" };
}

function newBookId(prefix: string): string {
  return `${prefix}_${randomBytes(12).toString("hex")}`;
}
