import { isDecider, listOwners } from "../accounts/member-service.ts";
import { getAccount, holdAccount, holdFrozen, isFrozen } from "../accounts/service.ts";
import { type Act, recordAudit } from "../audit/service.ts";
import { readClock } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { NO_ORIGIN } from "../lib/origin.ts";
import { notFound, Problem } from "../lib/problems.ts";
import { line, type MailLine, named } from "../mail/line.ts";
import { type MailConfig, queueMail } from "../mail/service.ts";
import { type Actor, assertActs, findPerson, holdActor } from "../sign-in/service.ts";
import { cardChangedMail } from "./mails.ts";
import type { CardSetup, Processor } from "./processor.ts";
import type { PaymentMethod } from "./schemas.ts";
import * as store from "./store.ts";

export type BillingDeps = {
  db: Db;
  processor: Processor;
  config: MailConfig;
};

/** The account's cards, the default one first. */
export async function listPaymentMethods(db: Db, accountId: string): Promise<PaymentMethod[]> {
  return (await store.listCards(db, accountId)).map(toPaymentMethod);
}

/**
 * Adds a card and makes it the default.
 * @param paymentMethod the processor's id, `pm_…`
 * @param actor the member; absent: the operator or the demo
 * @throws Problem account_frozen, unknown_payment_method; as `holdActor`
 */
export async function addPaymentMethod(
  deps: BillingDeps,
  accountId: string,
  paymentMethod: string,
  act: Act,
  actor?: Actor,
): Promise<PaymentMethod> {
  const { db, processor } = deps;
  if (actor !== undefined) await assertActs(db, actor, { id: accountId, may: "decide" });
  if (await isFrozen(db, accountId)) throw new Problem("account_frozen");
  const card = await processor.attachCard(accountId, paymentMethod);
  if (card === undefined) throw new Problem("unknown_payment_method", { paymentMethod });
  const kept = await inTransaction(db, async (trx) => {
    const now = await holdChange(trx, accountId, actor, { fresh: true });
    if (await holdFrozen(trx, accountId)) return undefined;
    await store.clearDefault(trx, accountId);
    const added = await store.insertDefaultCard(trx, accountId, processor.name, card, now);
    await recordCard(trx, deps, accountId, "card_added", added, act, now);
    return toPaymentMethod(added);
  });
  if (kept !== undefined) return kept;
  await processor.detachCard(accountId, card.id);
  throw new Problem("account_frozen");
}

/** Records that a card was added or removed, and mails the owners. */
async function recordCard(
  trx: Trx,
  { config }: Pick<BillingDeps, "config">,
  accountId: string,
  action: "card_added" | "card_removed",
  { id, brand, last4 }: store.CardRow,
  act: Act,
  now: Date,
): Promise<void> {
  const values = action === "card_added" ? { after: { brand, last4 } } : { before: { brand, last4 } };
  await recordAudit(trx, { accountId, ...act, action, subject: { kind: "card", id }, ...values }, now);
  const change = action === "card_added" ? ("added" as const) : ("removed" as const);
  const { name: accountName } = await getAccount(trx, accountId, "");
  const [pays = null] = await store.listCards(trx, accountId);
  const said = { by: actorLine(act.actor), accountName, change, brand, last4, pays };
  for (const { email } of await listOwners(trx, accountId))
    await queueMail(trx, cardChangedMail(config, email, said), now);
}

function actorLine(actor: Act["actor"]): MailLine {
  if (actor.kind === "person") return actor.name === null ? line`A member` : named(actor.name);
  return actor.kind === "operator" ? line`The operator of this service` : line`This service`;
}

/**
 * Adds the card that a person gave on the processor's form, once: repeating it changes nothing, even if the card was
 * removed meanwhile. The person's own request calls it, and the processor's event in case they never return. If the
 * account is frozen, or the person who began may no longer decide in it, the card is detached at the processor
 * instead.
 * @param actor the member, in their own request
 * @returns the setup, with its card once it is added; `undefined`: none of ours
 */
export async function keepSetUpCard(
  deps: BillingDeps,
  setupId: string,
  actor?: Actor,
): Promise<CardSetup | undefined> {
  const { db, processor } = deps;
  const setup = await processor.cardForm?.find(setupId);
  if (setup?.card === undefined) return setup;
  const { accountId, userId, card } = setup;
  const kept = await inTransaction(db, async (trx) => {
    const now = await holdChange(trx, accountId, actor);
    if (await store.hasCard(trx, accountId, card.id)) return true;
    if (await holdFrozen(trx, accountId)) return false;
    if (!(await isDecider(trx, accountId, userId))) return false;
    await store.clearDefault(trx, accountId);
    const added = await store.insertDefaultCard(trx, accountId, processor.name, card, now);
    const { name = null } = (await findPerson(trx, userId)) ?? {};
    const act: Act = { actor: { kind: "person", userId, name }, origin: NO_ORIGIN };
    await recordCard(trx, deps, accountId, "card_added", added, act, now);
    return true;
  });
  if (kept) return setup;
  await processor.detachCard(accountId, card.id);
  return { ...setup, card: undefined };
}

/**
 * Removes a card. If it was the default, the newest of the others becomes the default. Then detaches it at the
 * processor; if that fails, a sweep does it later.
 * @param actor the member; absent: the operator
 * @throws Problem not_found {resource: "paymentMethods", paymentMethodId}; as `holdActor`
 */
export async function removePaymentMethod(
  deps: BillingDeps,
  accountId: string,
  id: string,
  act: Act,
  actor?: Actor,
): Promise<void> {
  await inTransaction(deps.db, async (trx) => {
    const now = await holdChange(trx, accountId, actor, { fresh: true });
    const cards = await store.listCards(trx, accountId);
    const card = cards.find((candidate) => candidate.id === id);
    if (card === undefined) throw notFound("paymentMethods", "paymentMethodId", id);
    await store.removeCard(trx, accountId, id, now);
    const next = cards.find((candidate) => candidate.id !== id);
    if (card.is_default && next !== undefined) await store.setDefault(trx, accountId, next.id);
    await recordCard(trx, deps, accountId, "card_removed", card, act, now);
  });
  // The sweep tries again, and logs what fails.
  await detachRemoved(deps, { accountId, id }).catch(() => undefined);
}

/** Detaches a removed card at the processor, and records it. @throws what the processor throws */
export async function detachRemoved(
  { db, processor }: Pick<BillingDeps, "db" | "processor">,
  { accountId, id }: { accountId: string; id: string },
): Promise<void> {
  await processor.detachCard(accountId, id);
  await store.markDetached(db, accountId, id);
}

/** Locks the member who acts, then the account. @returns the transaction's time */
async function holdChange(
  trx: Trx,
  accountId: string,
  actor: Actor | undefined,
  need: { fresh?: true } = {},
): Promise<Date> {
  const now = await readClock(trx);
  const account = { id: accountId, may: "decide", alone: true } as const;
  if (actor !== undefined) await holdActor(trx, actor, { ...need, account }, now);
  else await holdAccount(trx, accountId);
  return now;
}

function toPaymentMethod(row: store.CardRow): PaymentMethod {
  return {
    id: row.id,
    brand: row.brand,
    last4: row.last4,
    expMonth: row.exp_month,
    expYear: row.exp_year,
    isDefault: row.is_default,
  };
}
