import type { Trx } from "../database/connection.ts";
import { appendEvents } from "../events/service.ts";

/**
 * Tells the operator that a person has joined an account, and has claimed it if they are its first owner: then work can be
 * put there (docs/contract.md §8). Call it last, as `appendEvents`.
 * @param joined.organizationId the operator's id of the account
 */
export async function announceMember(
  trx: Trx,
  joined: {
    accountId: string;
    organizationId: string;
    memberId: string;
    email: string;
    name: string;
    role: string;
    claimed: boolean;
  },
  now: Date,
): Promise<void> {
  const { accountId, organizationId, memberId, email, name, role, claimed } = joined;
  const member = { memberId, email, name };
  const joining = {
    type: "member.joined" as const,
    resourceId: memberId,
    jobId: null,
    data: { ...member, role },
  };
  const claiming = {
    type: "account.claimed" as const,
    resourceId: organizationId,
    jobId: null,
    data: member,
  };
  await appendEvents(trx, accountId, claimed ? [claiming, joining] : [joining], now);
}
