import { assertNotFrozen, type Grant } from "../accounts/service.ts";
import { holdToken } from "../accounts/token-service.ts";
import { type Act, recordAudit } from "../audit/service.ts";
import { readClock } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import type { TopUpAsker } from "../database/schema.ts";
import { inTransaction } from "../database/transaction.ts";
import { isUuid, newId } from "../lib/ids.ts";
import { dollarsToCents } from "../lib/money.ts";
import type { Origin } from "../lib/origin.ts";
import { badField, notFound, Problem } from "../lib/problems.ts";
import { addSeconds, DAY_SECONDS, isoOrNull } from "../lib/time.ts";
import { line, named, own } from "../mail/line.ts";
import { type MailConfig, queueMail } from "../mail/service.ts";
import { type Actor, holdActor } from "../sign-in/service.ts";
import type { BoundaryObserver } from "./boundaries.ts";
import type { NewTopUp, TopUp, TopUpAsked } from "./credit-schemas.ts";
import type { Processor } from "./processor.ts";
import { creditsAdjustedMail, topUpAskedMail } from "./top-up-mails.ts";
import * as store from "./top-up-store.ts";

export type { TopUpKey, TopUpRow } from "./top-up-store.ts";
export { listTopUps, makeTopUpsDue } from "./top-up-store.ts";

export type TopUpDeps = {
  db: Db;
  processor: Processor;
  config: MailConfig;
  boundaries?: BoundaryObserver | undefined;
};

const MIN_CENTS = 1_000;
const MAX_CENTS = 1_000_000;
const PENDING_AT_MOST = 10;
export const TTL_SECONDS = DAY_SECONDS;

/**
 * The amount of a top-up, in cents (docs/contract.md §5).
 * @throws Problem bad_request {field: "amountUsd"}
 */
export function topUpCents({ amountUsd, amount = amountUsd }: NewTopUp): number {
  const cents = amount === undefined ? undefined : dollarsToCents(amount);
  const same = amountUsd === undefined || amountUsd === amount;
  if (cents !== undefined && same && cents >= MIN_CENTS && cents <= MAX_CENTS) return cents;
  throw badField("amountUsd", "`amountUsd` must be dollars from 10 to 10000, with at most two decimals.");
}

/**
 * Creates a top-up for an agent. Moves nothing and makes no call. Mails the owners.
 * @param keep stores the answer for repeats of the call
 * @throws Problem account_frozen, top_up_limit_reached; unavailable if the token has ended meanwhile
 */
export function requestTopUp<T>(
  deps: TopUpDeps,
  grant: Grant,
  amountCents: number,
  origin: Origin,
  keep: (trx: Trx, answer: TopUpAsked) => Promise<T>,
): Promise<T> {
  const { accountId, tokenId, tokenName: name, tokenPreview: preview, rootTokenId: rootId } = grant;
  return inTransaction(deps.db, async (trx, now) => {
    if ((await holdToken(trx, grant, now)) === undefined)
      throw new Problem("unavailable", { retryAfterSeconds: 1 });
    await assertNotFrozen(trx, accountId);
    const askedBy = { kind: "token", tokenId, name, preview } as const;
    const act = { actor: { kind: "token", tokenId, rootId, name }, origin } as const;
    const row = await createTopUp(trx, deps, { accountId, amountCents, askedBy }, act, now);
    return keep(trx, toAsked(deps.config, row));
  });
}

/**
 * A member creates a top-up on the billing page.
 * @returns its id
 * @throws Problem top_up_limit_reached; as `holdActor`
 */
export function makeTopUp(
  deps: TopUpDeps,
  accountId: string,
  amountCents: number,
  actor: Actor & { name: string },
  act: Act,
): Promise<string> {
  return inTransaction(deps.db, async (trx, now) => {
    const account = { id: accountId, may: "decide", alone: true, unfrozen: true } as const;
    await holdActor(trx, actor, { account }, now);
    const askedBy = { kind: "person", userId: actor.userId, name: actor.name } as const;
    return (await createTopUp(trx, deps, { accountId, amountCents, askedBy }, act, now)).id;
  });
}

/** The account is locked: top-ups are counted one at a time. */
async function createTopUp(
  trx: Trx,
  { processor, config }: TopUpDeps,
  { accountId, ...asked }: { accountId: string; amountCents: number; askedBy: TopUpAsker },
  act: Act,
  now: Date,
): Promise<store.TopUpRow> {
  if ((await store.countPending(trx, accountId)) >= PENDING_AT_MOST)
    throw new Problem("top_up_limit_reached", { limit: PENDING_AT_MOST });
  const expiresAt = addSeconds(now, TTL_SECONDS);
  const made = { accountId, id: newId(), ...asked, currency: "usd", processor: processor.name, expiresAt };
  const row = await store.insertTopUp(trx, made, now);
  const { id, amountCents, currency } = row;
  const subject = { kind: "top_up", id };
  await recordAudit(
    trx,
    { accountId, ...act, action: "top_up_requested", subject, after: { amountCents } },
    now,
  );
  const mail = { id, amountCents, currency, expiresAt, by: whoAsked(asked.askedBy) };
  for (const owner of await store.listMailed(trx, accountId, ["owner"]))
    await queueMail(trx, topUpAskedMail(config, owner, mail), now);
  return row;
}

function whoAsked(asker: TopUpAsker) {
  if (asker.kind === "token") return line`The API key ${named(asker.name)} (${own(asker.preview)})`;
  return asker.kind === "person" ? named(asker.name) : line`Someone`;
}

/**
 * A top-up of the account (docs/contract.md §5). An expired one is pending until its page was read.
 * @throws Problem not_found {resource: "credit-top-ups", topUpId}
 */
export async function getTopUp(db: Db, accountId: string, id: string): Promise<TopUp> {
  const row = isUuid(id) ? await store.findTopUp(db, { accountId, id }) : undefined;
  if (row === undefined) throw notFound("credit-top-ups", "topUpId", id);
  return toTopUp(row);
}

/** The top-up with that id, if it belongs to one of the person's accounts. */
export async function findTopUpForHuman(
  db: Db,
  accountIds: readonly string[],
  id: string,
): Promise<(store.TopUpRow & { now: Date }) | undefined> {
  const row = isUuid(id) ? await store.findTopUpOfAny(db, accountIds, id) : undefined;
  return row && { ...row, now: await readClock(db) };
}

/** Mails owners and approvers that the operator corrected the credits. */
export async function mailAdjusted(
  trx: Trx,
  config: TopUpDeps["config"],
  accountId: string,
  { amountCents, note }: { amountCents: number; note: string },
  now: Date,
): Promise<void> {
  const why = line`The operator of this service corrected it: ${named(note)}.`;
  for (const to of await store.listMailed(trx, accountId, ["owner", "approver"]))
    await queueMail(trx, creditsAdjustedMail(config, to, { amountCents, currency: "usd", why }), now);
}

/** The page on which a top-up is paid. */
export function topUpUrl({ publicUrl }: { publicUrl: string }, id: string): string {
  return `${publicUrl}/top-ups/${id}`;
}

function toTopUp(row: store.TopUpRow): TopUp {
  return {
    id: row.id,
    status: row.status,
    amountCents: row.amountCents,
    createdAt: row.createdAt.toISOString(),
    completedAt: isoOrNull(row.completedAt),
    expiresAt: row.expiresAt.toISOString(),
  };
}

function toAsked(config: TopUpDeps["config"], row: store.TopUpRow): TopUpAsked {
  return {
    topUpId: row.id,
    checkoutUrl: topUpUrl(config, row.id),
    expiresAt: row.expiresAt.toISOString(),
    topUp: toTopUp(row),
    message:
      "Nothing is paid yet. Give `checkoutUrl` to your human: a signed-in owner or approver of the account pays for it there, by " +
      "a card that they give then. `GET /credits/top-ups/{topUpId}` says when it is `COMPLETED`.",
  };
}
