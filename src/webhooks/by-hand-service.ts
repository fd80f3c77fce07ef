import { mailWithOwners } from "../accounts/member-service.ts";
import { listFamily } from "../accounts/token-service.ts";
import { byPerson, type NewEntry, recordAudit } from "../audit/service.ts";
import type { Db, Trx } from "../database/connection.ts";
import type { Origin } from "../lib/origin.ts";
import { SCOPES } from "../lib/scopes.ts";
import type { Addressee, Mail } from "../mail/service.ts";
import { inSession, type Person } from "../sign-in/service.ts";
import { webhookAddedMail, webhookDeletedMail, webhookSecretMail } from "./mails.ts";
import type { Webhook, WebhookBody } from "./schemas.ts";
import {
  addWebhook,
  type Disclosed,
  holdWebhook,
  listWebhooksMadeBy,
  replaceSecret,
  type WebhookDeps,
} from "./service.ts";
import { markDeleted } from "./store.ts";

type Deps = WebhookDeps & { config: { appName: string } };
/** The person, the account and the request's origin. Their proof of presence must be younger than 5 minutes. */
export type Hand = {
  person: Person;
  account: { accountId: string; accountName: string };
  origin: Origin;
};

/**
 * A member adds a webhook. It outlives their session, so they and the owners are mailed, and an audit entry is recorded.
 * @param id drawn when the form was shown, so that sending it twice creates one webhook
 * @throws Problem bad_request {field}, presence_expired, webhook_limit_reached, form_refused when the form was sent before; as
 * `holdActor`
 */
export async function addByHand(deps: Deps, hand: Hand, id: string, body: WebhookBody): Promise<Disclosed> {
  const { person, account } = hand;
  const { accountId } = account;
  const need = { fresh: true, account: { id: accountId, may: "decide", alone: true } } as const;
  return inSession(deps.db, person, need, async (trx, now) => {
    const maker = { accountId, tokenId: null, rootId: null, userId: person.userId, makerName: person.name };
    const disclosed = await addWebhook(trx, deps.config, maker, id, body, now);
    const { host } = new URL(body.url);
    const said = { by: person, accountName: account.accountName, host };
    const after = { host, eventTypes: body.eventTypes };
    const entry = { action: "webhook_added", subject: { kind: "webhook", id }, after } as const;
    await tell(trx, hand, entry, (to) => webhookAddedMail(deps.config, to, said), now);
    return disclosed;
  });
}

/**
 * A member replaces a webhook's secret; mailed and audited like a new webhook, because the secret can forge events.
 * @param shown the `oldSecretUntil` that the page showed
 * @throws Problem not_found, presence_expired, webhook_disabled, form_refused when it was replaced meanwhile; as `holdActor`
 */
export async function rotateByHand(
  deps: Deps,
  hand: Hand,
  id: string,
  shown: { oldSecretUntil: string | null },
): Promise<Disclosed> {
  const { person, account } = hand;
  const { accountId } = account;
  const need = { fresh: true, account: { id: accountId, may: "decide", alone: true } } as const;
  return inSession(deps.db, person, need, async (trx, now) => {
    const disclosed = await replaceSecret(trx, deps.config, { accountId, scopes: SCOPES }, id, shown);
    const { host } = new URL(disclosed.webhook.url);
    const said = { by: person, accountName: account.accountName, host };
    const subject = { kind: "webhook", id };
    const entry = { action: "webhook_secret_replaced", subject, detail: { host } } as const;
    await tell(trx, hand, entry, (to) => webhookSecretMail(deps.config, to, said), now);
    return disclosed;
  });
}

/**
 * A member deletes a webhook and its pending deliveries; mailed and audited like a new one,
 * because the account loses a way to learn of its events.
 * @throws Problem not_found, presence_expired; as `holdActor`
 */
export async function deleteByHand(deps: Deps, hand: Hand, id: string): Promise<void> {
  const { person, account } = hand;
  const { accountId } = account;
  const need = { fresh: true, account: { id: accountId, may: "decide", alone: true } } as const;
  await inSession(deps.db, person, need, async (trx, now) => {
    const { url, eventTypes } = await holdWebhook(trx, accountId, id);
    await markDeleted(trx, accountId, id);
    const { host } = new URL(url);
    const said = { by: person, accountName: account.accountName, host };
    const subject = { kind: "webhook", id };
    const entry = { action: "webhook_deleted", subject, before: { host, eventTypes } } as const;
    await tell(trx, hand, entry, (to) => webhookDeletedMail(deps.config, to, said), now);
  });
}

/** The creator of webhooks: a person, by hand or with API keys that they created; or a token and its descendants. */
export type MadeBy = { userId: string } | { tokenId: string };

/** The webhooks that a person or a token has created, which would outlive them, in the order of the ids. */
export async function listMadeBy(db: Db, accountId: string, maker: MadeBy): Promise<Webhook[]> {
  const tokenIds = await listFamily(db, accountId, maker);
  return listWebhooksMadeBy(db, accountId, { userId: "userId" in maker ? maker.userId : null, tokenIds });
}

/**
 * Deletes these webhooks, within the transaction that removes the person or revokes the token.
 * @returns how many there were
 */
export async function deleteMadeBy(trx: Trx, accountId: string, maker: MadeBy): Promise<number> {
  const webhooks = await listMadeBy(trx, accountId, maker);
  // In the lock order of webhooks: by id.
  for (const { id } of webhooks) await markDeleted(trx, accountId, id);
  return webhooks.length;
}

async function tell(
  trx: Trx,
  { person, account: { accountId }, origin }: Hand,
  entry: Pick<NewEntry, "action" | "subject" | "before" | "after" | "detail">,
  mail: (to: Addressee) => Mail,
  now: Date,
): Promise<void> {
  await recordAudit(trx, { accountId, actor: byPerson(person), ...entry, origin }, now);
  await mailWithOwners(trx, accountId, person, mail, now);
}
