import { listOwners } from "../accounts/member-service.ts";
import { assertMayDecide, holdAccount } from "../accounts/service.ts";
import { listFamily } from "../accounts/token-service.ts";
import { readClock } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { SCOPES } from "../lib/scopes.ts";
import { type Mail, queueMail } from "../mail/service.ts";
import { leaveTrace } from "../sessions/service.ts";
import { webhookAddedMail, webhookSecretMail } from "./mails.ts";
import type { Webhook, WebhookBody } from "./schemas.ts";
import {
  addWebhook,
  type Disclosed,
  listWebhooksMadeBy,
  removeWebhook,
  replaceSecret,
  type WebhookDeps,
} from "./service.ts";

type Deps = WebhookDeps & { config: { appName: string } };
/** Who does it, in which account, and from where. Whoever calls has checked that their proof is fresh. */
export type Hand = {
  person: { userId: string; email: string; name: string };
  account: { accountId: string; accountName: string };
  address: string;
};

/**
 * A member adds a webhook. What it is sent outlasts their session, so they and the owners are mailed, and the audit
 * has it.
 * @param id given to the form when it was shown, so that sending it twice makes one webhook
 * @throws Problem bad_request {field}, not_found, not_permitted for a viewer, webhook_limit_reached, form_refused when
 * it was sent before
 */
export async function addByHand(deps: Deps, hand: Hand, id: string, body: WebhookBody): Promise<Disclosed> {
  const { person, account } = hand;
  const { accountId } = account;
  return inTransaction(deps.db, async (trx) => {
    await holdAccount(trx, accountId);
    await assertMayDecide(trx, accountId, person.userId);
    const maker = { accountId, tokenId: null, rootId: null, userId: person.userId, makerName: person.name };
    const disclosed = await addWebhook(trx, deps.config, maker, id, body);
    const { host } = new URL(body.url);
    const said = { by: person, accountName: account.accountName, host };
    await tell(trx, hand, "webhook_added", { webhookId: id, host, eventTypes: body.eventTypes }, (to) =>
      webhookAddedMail(deps.config, to, said),
    );
    return disclosed;
  });
}

/**
 * A member replaces a webhook's secret; mailed and traced like a new webhook, as with a secret one can forge events.
 * @param shown the `oldSecretUntil` of the page that asks
 * @throws Problem not_found, not_permitted for a viewer, webhook_disabled, form_refused when it is another by now
 */
export async function rotateByHand(
  deps: Deps,
  hand: Hand,
  id: string,
  shown: { oldSecretUntil: string | null },
): Promise<Disclosed> {
  const { person, account } = hand;
  const { accountId } = account;
  return inTransaction(deps.db, async (trx) => {
    await holdAccount(trx, accountId);
    await assertMayDecide(trx, accountId, person.userId);
    const disclosed = await replaceSecret(trx, deps.config, { accountId, scopes: SCOPES }, id, shown);
    const { host } = new URL(disclosed.webhook.url);
    const said = { by: person, accountName: account.accountName, host };
    await tell(trx, hand, "webhook_secret_replaced", { webhookId: id, host }, (to) =>
      webhookSecretMail(deps.config, to, said),
    );
    return disclosed;
  });
}

/** Whose webhooks: a person's, made by hand or with keys that they made; or a key's, and those of its offspring. */
export type MadeBy = { userId: string } | { tokenId: string };

/** What somebody has made for an account, and what goes on when they are gone, in the order of the ids. */
export async function listMadeBy(db: Db, accountId: string, maker: MadeBy): Promise<Webhook[]> {
  const tokenIds = await listFamily(db, accountId, maker);
  return listWebhooksMadeBy(db, accountId, { userId: "userId" in maker ? maker.userId : null, tokenIds });
}

/**
 * Deletes it, within the transaction that removes the person or revokes the key.
 * @returns how many there were
 */
export async function deleteMadeBy(trx: Trx, accountId: string, maker: MadeBy): Promise<number> {
  const webhooks = await listMadeBy(trx, accountId, maker);
  // One after the other in this order, as whoever writes events takes them.
  for (const { id } of webhooks) await removeWebhook(trx, accountId, id);
  return webhooks.length;
}

async function tell(
  trx: Trx,
  { person, account: { accountId }, address }: Hand,
  action: string,
  detail: Record<string, unknown>,
  mail: (to: { email: string; name: string }) => Mail,
): Promise<void> {
  const now = await readClock(trx);
  const trace = { userId: person.userId, action, detail: { accountId, ...detail }, address };
  await leaveTrace(trx, trace, now);
  const others = (await listOwners(trx, accountId)).filter(({ userId }) => userId !== person.userId);
  for (const to of [person, ...others]) await queueMail(trx, mail(to), now);
}
