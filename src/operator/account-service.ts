import * as accounts from "../accounts/service.ts";
import { TOKEN_PREFIX } from "../accounts/token-service.ts";
import type { Act } from "../audit/service.ts";
import { makeDue } from "../billing/payment-service.ts";
import { makeTopUpsDue } from "../billing/top-up-service.ts";
import type { Db } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { accountKey, isExternalId, isUuid } from "../lib/ids.ts";
import { centsToDollars, formatAmount } from "../lib/money.ts";
import { notFound } from "../lib/problems.ts";
import { readSecret } from "../lib/secrets.ts";
import { line, type MailLine, own } from "../mail/line.ts";
import type { MailConfig } from "../mail/service.ts";
import { assertOwnerHasPasskey } from "../passkeys/ownership-service.ts";
import { mailOwners, recordAct } from "./act-service.ts";
import { mergeAccount } from "./merge-rules.ts";
import type { Account, AccountBody } from "./schemas.ts";

export type OperatorDeps = { db: Db; config: MailConfig };

/** An account in the operator's words: the id that they use, and the key that ours begin with. */
export type AccountRef = { accountId: string; organizationId: string };

/**
 * The account that stands in the address.
 * @throws Problem not_found {resource: "accounts", accountId}
 */
export async function findAccount(db: Db, id: string): Promise<AccountRef & { account: Account }> {
  if (!isExternalId(id)) throw notFound("accounts", "accountId", id);
  const accountId = accountKey(id);
  return { accountId, organizationId: id, account: toAccount(await accounts.getAccount(db, accountId, id)) };
}

/**
 * The account that a person at a terminal has a trace of.
 * @param trace its id, its key in the log, or one of its tokens
 * @throws Problem not_found {resource: "accounts", accountId}
 */
export async function traceAccount(db: Db, trace: string): Promise<AccountRef & { account: Account }> {
  const key = readSecret(TOKEN_PREFIX, trace)?.accountId ?? (isUuid(trace) ? trace : undefined);
  const found = key === undefined ? undefined : await accounts.findAccount(db, key);
  return findAccount(db, found?.id ?? trace);
}

/**
 * Creates an account, or sets the named keys of one. A freeze makes what waits for a bank, or was not submitted yet, due at
 * once: it is then cancelled.
 * @throws Problem not_found for an id that cannot be one, bad_request {field}, co_sign_loosening,
 * second_signer_loosening, passkey_missing
 */
export async function putAccount(
  { db, config }: OperatorDeps,
  id: string,
  body: AccountBody,
  act: Act,
): Promise<{ created: boolean; account: Account }> {
  if (!isExternalId(id)) throw notFound("accounts", "accountId", id);
  const accountId = accountKey(id);
  const created = await inTransaction(db, async (trx, now) => {
    const change = await accounts.saveAccount(
      trx,
      accountId,
      id,
      (present, at) => mergeAccount(body, present, at),
      now,
    );
    const before = change.before && toAccountValues(change.before);
    const entry = { subject: { kind: "account", id }, before, after: toAccountValues(change.after) };
    if (entry.after.coSign === "passkey" && before?.coSign !== "passkey")
      await assertOwnerHasPasskey(trx, accountId);
    if (entry.after.frozen && before?.frozen === false) {
      await makeDue(trx, { accountId }, now);
      await makeTopUpsDue(trx, accountId, now);
    }
    const action = before === undefined ? "account_created" : "account_changed";
    await recordAct(trx, accountId, act, { action, ...entry }, now);
    const what = before === undefined ? [] : mailLinesOf(before, entry.after);
    if (what.length > 0) await mailOwners(trx, config, { accountId, organizationId: id }, what, now);
    return before === undefined;
  });
  return { created, account: toAccount(await accounts.getAccount(db, accountId, id)) };
}

type AccountEntry = ReturnType<typeof toAccountValues>;

/** What the owners are mailed of a change. */
function mailLinesOf(before: AccountEntry, after: AccountEntry): MailLine[] {
  const lines: MailLine[] = [];
  if (before.frozen !== after.frozen)
    lines.push(
      after.frozen
        ? line`It is frozen. Nothing new can be asked for, confirmed or added until the operator ends that. You can still decline requests and revoke keys.`
        : line`It is no longer frozen. Requests can be made and confirmed again.`,
    );
  if (before.coSign !== after.coSign) lines.push(line`Payments are now confirmed with passkeys only.`);
  if (before.billing !== after.billing)
    lines.push(
      after.billing === "card"
        ? line`Fundings are now paid by the card on file.`
        : line`Fundings are now paid from the account's credits where they cover the whole amount, and else by the card on file.`,
    );
  const { secondSignerFromCents: limit } = after;
  if (before.secondSignerFromCents !== limit && limit !== null)
    lines.push(
      line`A second person must now confirm each payment that brings the account's payments within 24 hours to ${own(formatAmount(limit, "usd"))} or more.`,
    );
  return lines;
}

/** What an audit entry says of an account. */
function toAccountValues(values: accounts.AccountRow | accounts.AccountValues) {
  const claimedAt = "claimed_at" in values ? values.claimed_at : values.claimedAt;
  const coSign = "co_sign" in values ? values.co_sign : values.coSign;
  const secondSignerFromCents =
    "second_signer_from_cents" in values ? values.second_signer_from_cents : values.secondSignerFromCents;
  const { name, features, billing, frozen } = values;
  return { name, claimed: claimedAt !== null, features, billing, coSign, secondSignerFromCents, frozen };
}

export function toAccount(row: accounts.AccountRow): Account {
  return {
    id: row.id,
    name: row.name,
    claimed: row.claimed_at !== null,
    features: row.features,
    billing: row.billing,
    coSign: row.co_sign,
    secondSignerFromUsd:
      row.second_signer_from_cents === null ? null : centsToDollars(row.second_signer_from_cents),
    frozen: row.frozen,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
  };
}
