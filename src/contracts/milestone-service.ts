import type { Keep, Kept } from "../accounts/idempotency-service.ts";
import type { Db } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { appendEvents } from "../events/service.ts";
import { centsOf, nameOf, textOf, timeOf } from "../lib/fields.ts";
import { isExternalId, newId } from "../lib/ids.ts";
import { MIN_AMOUNT_CENTS } from "../lib/money.ts";
import { PAGE_LIMIT, type PageQuery, timeCursor, timeCursorOf, toPage } from "../lib/pages.ts";
import { notFound, Problem } from "../lib/problems.ts";
import { assertMilestoneLimit } from "./limits.ts";
import * as milestoneStore from "./milestone-store.ts";
import { assertPriced, priceMilestone } from "./pricing-rules.ts";
import type { Milestone, NewMilestone } from "./schemas.ts";
import * as store from "./store.ts";
import { toMilestone } from "./wire.ts";

/**
 * A page of the account's milestones of every status, newest first.
 * @throws Problem bad_request {field: "cursor"}
 */
export async function listMilestonePage(
  db: Db,
  accountId: string,
  { cursor, limit = PAGE_LIMIT }: PageQuery,
): Promise<{ milestones: (Milestone & { contractId: string })[]; nextCursor: string | null }> {
  const rows = await milestoneStore.listMilestonePage(db, accountId, timeCursorOf(cursor), limit + 1);
  const { page, nextCursor } = toPage(rows, limit, ({ created_at: at, id }) => timeCursor({ at, id }));
  const milestones = page.map((row) => ({ ...toMilestone(row), contractId: row.contract_id }));
  return { milestones, nextCursor };
}

/**
 * Adds an unfunded milestone to a contract (docs/contract.md §4). Moves no money.
 * @param keep stores the response in the transaction that creates the milestone
 * @throws Problem bad_request {field}, not_found {resource: "contracts"}, contract_ended, contract_rate_missing,
 * milestone_limit_reached
 */
export async function createMilestone(
  db: Db,
  accountId: string,
  contractId: string,
  asked: NewMilestone,
  keep: Keep<Milestone>,
): Promise<Kept<Milestone>> {
  const { volume = null } = asked;
  const description = textOf("description", asked.description);
  const name = asked.name === undefined ? null : nameOf("name", asked.name);
  const amountCents =
    asked.amountUsd === undefined ? null : centsOf("amountUsd", asked.amountUsd, MIN_AMOUNT_CENTS);
  const dueAt = asked.dueDate === undefined ? null : timeOf("dueDate", asked.dueDate);
  if (!isExternalId(contractId)) throw notFound("contracts", "contractId", contractId);
  return inTransaction(db, async (trx, now) => {
    const contract = await store.lockContract(trx, accountId, contractId);
    if (contract === undefined) throw notFound("contracts", "contractId", contractId);
    const priced = { paymentType: contract.payment_type, rateCents: contract.rate_cents };
    assertPriced(priced, { amountCents, volume });
    if (contract.status === "ended") throw new Problem("contract_ended", { contractId });
    const id = newId();
    const values = {
      contractId,
      name,
      description,
      amountCents: priceMilestone(priced, { amountCents, volume }),
      volume,
      dueAt,
    };
    const number = await milestoneStore.nextMilestoneNumber(trx, accountId, contractId);
    await milestoneStore.insertMilestone(trx, accountId, id, values, { number, now });
    await assertMilestoneLimit(trx, accountId, contractId);
    const row = await milestoneStore.findMilestone(trx, accountId, id);
    if (row === undefined) throw new TypeError("the created milestone was not found");
    const kept = await keep(trx, toMilestone(row));
    const event = {
      type: "milestone.status_changed" as const,
      resourceId: id,
      jobId: contract.job_id,
      data: { milestoneId: id, contractId, status: row.status },
    };
    await appendEvents(trx, accountId, [event], now);
    return kept;
  });
}
