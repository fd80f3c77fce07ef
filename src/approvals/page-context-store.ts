import { sql } from "kysely";
import type { Db } from "../database/connection.ts";
import type { ApprovalType } from "../database/schema.ts";
import { contractSums } from "./contract-money-store.ts";

/** What an approval's page says of its surroundings; nothing of it is signed. Amounts in cents. */
export type PageContext = {
  /** The payee's country as the contract has it now; null: not known, or the contract has another payee now. */
  country: string | null;
  /** Of all milestones of the contract that are not cancelled. */
  totalCents: number;
  /** Of those, what is held in escrow and what was paid out. */
  heldCents: number;
  paidOutCents: number;
  /** A newer request for the same, which is pending. */
  newerId: string | null;
};

/** @param payeeId the payee of the approval's terms; null: it has none */
export async function readContext(
  db: Db,
  approval: { accountId: string; id: string; type: ApprovalType; contractId: string; subjectId: string },
  payeeId: string | null,
): Promise<PageContext> {
  const { accountId, id, type, contractId, subjectId } = approval;
  const { rows } = await sql<PageContext>`
    select case when c.freelancer_user_id = ${payeeId} then c.freelancer_country end as country, s.*, (
        select v.id from approvals v
        where v.account_id = ${accountId} and v.type = ${type} and v.subject_id = ${subjectId} and v.status = 'pending'
          and v.id <> ${id} and (v.expires_at > now() or v.executing_at is not null)
      ) as "newerId"
    from contracts c
    cross join lateral (${contractSums(accountId)}) s
    where c.account_id = ${accountId} and c.id = ${contractId}`.execute(db);
  const [context] = rows;
  if (context === undefined) throw new TypeError("the contract of an approval is kept");
  return context;
}
