import type { Db, Trx } from "../database/connection.ts";
import { type Statement, sumOf } from "../lib/statement.ts";
import { formatDeadline } from "../lib/time.ts";
import { line, named, own, who } from "../mail/line.ts";
import { queueMail } from "../mail/service.ts";
import type { HumanApprovalRow } from "./human-store.ts";
import { actWords } from "./mails.ts";
import * as store from "./second-signer-store.ts";

/** How many people must sign an approval, and the signature that exists (docs/contract.md §1, Two people). */
export type Signing = { required: 1 | 2; first: store.FirstSignature | undefined };

/**
 * Reads how many people must sign the statement. Lock the account if you decide by the answer: two concurrent
 * payments could each stay below the limit.
 * @param statement the confirmation as it would be signed now; its nonce does not matter
 */
export async function readSigning(db: Db, row: HumanApprovalRow, statement: Statement): Promise<Signing> {
  const { accountId, id, secondSignerFromCents: limit, terms, coSign } = row;
  if (limit === null) return { required: 1, first: undefined };
  if ((await store.sumPaidLately(db, accountId)) + sumOf(terms).amountCents < limit)
    return { required: 1, first: undefined };
  return { required: 2, first: await store.findFirstSignature(db, accountId, id, statement, coSign) };
}

/** Why an amount is typed: from which sum on, and what the account has confirmed within 24 hours before this, in cents. */
export type TypedFrom = { fromCents: number; latelyCents: number };

/**
 * Whether the person types the amount before they confirm, and why: once what the account confirmed within 24 hours
 * reaches the policy's amount together with this. To decide by the answer, hold the account.
 * @param operatorsCents the operator's amount, which is the most that the account's can be
 * @returns `undefined`: it is not typed
 */
export async function findTypedFrom(
  db: Db,
  { accountId, amountTypedFromCents, terms }: HumanApprovalRow,
  operatorsCents: number,
): Promise<TypedFrom | undefined> {
  const fromCents = Math.min(amountTypedFromCents ?? operatorsCents, operatorsCents);
  const latelyCents = await store.sumPaidLately(db, accountId);
  return latelyCents + sumOf(terms).amountCents < fromCents ? undefined : { fromCents, latelyCents };
}

/** Mails the other members who may decide: one person has signed and a second must. */
export async function mailOtherDeciders(
  trx: Trx,
  { publicUrl }: { publicUrl: string },
  row: HumanApprovalRow,
  signerId: string,
  now: Date,
): Promise<void> {
  const deciders = await store.listDeciders(trx, row.accountId);
  const signer = deciders.find(({ userId }) => userId === signerId);
  if (signer === undefined) return;
  for (const { email } of deciders.filter(({ userId }) => userId !== signerId)) {
    const mail = {
      to: email,
      routine: true as const,
      subject: line`Second confirmation: ${actWords(row)}`,
      paragraphs: [
        line`${who(signer)} has confirmed for the account ${named(row.accountName)}: ${actWords(row)}. Two people must confirm it.`,
        line`Nothing moves until another owner or approver confirms it too. You can confirm or decline it until ${own(formatDeadline(row.expiresAt))}.`,
        own(`${publicUrl}/approvals/${row.id}`),
      ],
    };
    await queueMail(trx, mail, now);
  }
}
