import { Type } from "@sinclair/typebox";
import type { FastifyReply } from "fastify";
import { findAsker } from "../../../accounts/key-service.ts";
import type { AccountEventType } from "../../../events/schemas.ts";
import type { App } from "../../../http/app.ts";
import { originOf } from "../../../http/origin.ts";
import { isUuid, newId } from "../../../lib/ids.ts";
import type { RequestOrigin } from "../../../lib/origin.ts";
import { notFound, Problem } from "../../../lib/problems.ts";
import { SCOPES } from "../../../lib/scopes.ts";
import type { SessionDeps } from "../../../passkeys/session-deps.ts";
import { formToken } from "../../../sign-in/form-token.ts";
import type { Human } from "../../../sign-in/gate.ts";
import { addByHand, deleteByHand, type Hand, rotateByHand } from "../../../webhooks/by-hand-service.ts";
import {
  findWebhookForMember,
  listDeliveries,
  listWebhooks,
  type MemberWebhook,
  type Reader,
  redeliver,
  type WebhookDeps,
} from "../../../webhooks/service.ts";
import type { Fault } from "../../kit/forms.ts";
import { accountOf, type Membership, managedBy, manages } from "../../kit/memberships.ts";
import { type Answer, PASSWORD, personForm, personPage, UUID } from "../../kit/person-routes.ts";
import { absentFault, proveNow, proverOf } from "../../kit/presence.ts";
import { leadToFault, takeFault } from "../../kit/said.ts";
import { show } from "../../kit/site.ts";
import {
  type Draft,
  deletePage,
  EVENT_WORDS,
  fieldIds,
  PASSWORD_FIELD,
  secretPage,
  type WebhookSection,
  webhookPage,
  webhooksPage,
} from "./webhook-pages.ts";
import { WEBHOOKS, webhookPath } from "./webhook-paths.ts";

const FEATURE = "public_api_webhooks";
const DELIVERIES_SHOWN = 10;
type Deps = SessionDeps & WebhookDeps;

const PARAMS = { webhookId: Type.String() };
const EventTypeName = Type.Unsafe<AccountEventType>({ type: "string", enum: Object.keys(EVENT_WORDS) });
const ADD_FIELDS = {
  account_id: UUID,
  webhook_id: UUID,
  url: Type.String({ maxLength: 4_096 }),
  // A form sends one of a name as text, several as a list, and none not at all.
  event_types: Type.Optional(Type.Union([EventTypeName, Type.Array(EventTypeName, { maxItems: 50 })])),
  ...PASSWORD,
};

const PURPOSES = {
  add: (accountId: string, webhookId: string) => `webhooks:add:${accountId}:${webhookId}`,
  rotate: (webhookId: string, shown: string) => `webhooks:rotate:${webhookId}:${shown}`,
  redeliver: (webhookId: string) => `webhooks:redeliver:${webhookId}`,
  delete: (webhookId: string) => `webhooks:delete:${webhookId}`,
};

/** `/settings/webhooks` (docs/contract.md §7). Members see an account's webhooks; owners and approvers manage them. */
export function webhookPageRoutes(app: App, deps: Deps): void {
  personPage(app, deps, WEBHOOKS, ({ human, query, request }, reply) =>
    showList(deps, reply, human, {
      said: query.said,
      ...takeFault<Record<string, Draft>>(deps, request, reply, human),
    }),
  );
  const path = `${WEBHOOKS}/:webhookId`;
  const one: Answer<typeof PARAMS> = async ({ human, params, query: { said, before }, request }, reply) => {
    const webhook = await find(deps, human, params.webhookId);
    const { fault } = takeFault(deps, request, reply, human);
    return showOne(deps, reply, human, webhook, { said, before, fault });
  };
  personPage(app, deps, path, one, PARAMS);
  const deletion: Answer<typeof PARAMS> = async ({ human, params, request }, reply) => {
    const webhook = await findManaged(deps, human, params.webhookId);
    return showDeletion(deps, reply, human, webhook, takeFault(deps, request, reply, human).fault);
  };
  personPage(app, deps, `${path}/delete`, deletion, PARAMS);

  addRoute(app, deps);
  actionRoutes(app, deps, path);
}

function addRoute(app: App, deps: Deps): void {
  const form = personForm(app, deps, {
    fields: ADD_FIELDS,
    purpose: ({ body: { account_id, webhook_id } }) => PURPOSES.add(account_id, webhook_id),
    returnTo: () => WEBHOOKS,
  });
  form(`${WEBHOOKS}/add`, async ({ human, body, request }, reply) => {
    const { account_id: accountId, webhook_id: id, url, event_types = [], password } = body;
    if (!isEnabled(managedBy(human, accountId))) throw new Problem("feature_disabled");
    const draft = { url: url.trim(), eventTypes: [event_types].flat() };
    const complain = (fault: Fault) =>
      leadToFault(deps, reply, human, WEBHOOKS, fault, { [accountId]: draft });
    if (draft.eventTypes.length === 0)
      return complain({ field: fieldIds(accountId).types, message: "Choose at least one event." });
    const acting = await proveNow(deps, request, reply, human, password);
    if (acting === undefined) return complain(absentFault(fieldIds(accountId).password, password));
    try {
      const disclosed = await addByHand(deps, handOf(acting, accountId, originOf(request)), id, draft);
      return show(deps, reply, secretPage(disclosed, true), { human, status: 201 });
    } catch (error) {
      if (!(error instanceof Problem) || error.details?.field !== "url") throw error;
      return complain({ field: fieldIds(accountId).url, message: error.message });
    }
  });
}

function actionRoutes(app: App, deps: Deps, path: string): void {
  const common = {
    params: PARAMS,
    returnTo: ({ webhookId }: { webhookId: string }) => webhookPath(webhookId),
  };

  const rotating = personForm(app, deps, {
    ...common,
    fields: { ...PASSWORD, shown: Type.String({ maxLength: 30 }) },
    purpose: ({ params, body }) => PURPOSES.rotate(params.webhookId, body.shown),
  });
  rotating(`${path}/rotate-secret`, async ({ human, params, body: { shown, password }, request }, reply) => {
    const webhook = await findManaged(deps, human, params.webhookId);
    const acting = await proveNow(deps, request, reply, human, password);
    if (acting === undefined) {
      const fault = absentFault(PASSWORD_FIELD, password);
      return leadToFault(deps, reply, human, webhookPath(webhook.id), fault);
    }
    const hand = handOf(acting, webhook.accountId, originOf(request));
    const disclosed = await rotateByHand(deps, hand, webhook.id, { oldSecretUntil: shown || null });
    return show(deps, reply, secretPage(disclosed, false), { human });
  });

  const resending = personForm(app, deps, {
    ...common,
    fields: { delivery_id: Type.String({ maxLength: 100 }) },
    purpose: ({ params }) => PURPOSES.redeliver(params.webhookId),
  });
  resending(`${path}/redeliver`, async ({ human, params, body }, reply) => {
    const webhook = await findManaged(deps, human, params.webhookId);
    await redeliver(deps, readerOf(webhook), webhook.id, body.delivery_id, human);
    return reply.redirect(`${webhookPath(webhook.id)}?said=again`, 303);
  });

  const deleting = personForm(app, deps, {
    ...common,
    fields: PASSWORD,
    purpose: ({ params }) => PURPOSES.delete(params.webhookId),
  });
  deleting(`${path}/delete`, async ({ human, params, body: { password }, request }, reply) => {
    const webhook = await findManaged(deps, human, params.webhookId);
    const acting = await proveNow(deps, request, reply, human, password);
    if (acting === undefined) {
      const fault = absentFault(PASSWORD_FIELD, password);
      return leadToFault(deps, reply, human, `${webhookPath(webhook.id)}/delete`, fault);
    }
    await deleteByHand(deps, handOf(acting, webhook.accountId, originOf(request)), webhook.id);
    return reply.redirect(`${WEBHOOKS}?said=deleted`, 303);
  });
}

async function showList(
  deps: Deps,
  reply: FastifyReply,
  human: Human,
  around: { said: string | undefined; fault?: Fault; draft?: Record<string, Draft> },
): Promise<FastifyReply> {
  const section = async (account: Membership): Promise<WebhookSection> => {
    const { accountId, accountName } = account;
    const webhookId = newId();
    const token = formToken(deps.keys, human, PURPOSES.add(accountId, webhookId));
    return {
      accountId,
      accountName,
      enabled: isEnabled(account),
      webhooks: await listWebhooks(deps.db, accountId),
      adding: manages(account)
        ? { webhookId, formToken: token, draft: around.draft?.[accountId] }
        : undefined,
    };
  };
  const sections = await Promise.all(human.memberships.map(section));
  const page = webhooksPage(await proverOf(deps, human), sections, around);
  return show(deps, reply, page, { human });
}

async function showOne(
  deps: Deps,
  reply: FastifyReply,
  human: Human,
  webhook: MemberWebhook,
  { said, before, fault }: { said: string | undefined; before: string | undefined; fault: Fault | undefined },
): Promise<FastifyReply> {
  const { id, accountId, oldSecretUntil } = webhook;
  const account = accountOf(human, accountId);
  const page = {
    limit: DELIVERIES_SHOWN,
    ...(before !== undefined && /^\d{1,15}$/.test(before) && { cursor: before }),
  };
  const deliveries = await listDeliveries(deps, readerOf(webhook), id, page);
  const { makerTokenId } = webhook;
  const asker = makerTokenId === null ? undefined : await findAsker(deps.db, accountId, makerTokenId);
  const changes = manages(account) && webhook.status === "ACTIVE";
  const form = (purpose: string) =>
    changes ? { formToken: formToken(deps.keys, human, purpose) } : undefined;
  const view = {
    webhook,
    asker: asker ?? null,
    accountName: human.memberships.length > 1 ? account.accountName : undefined,
    now: human.now,
    said,
    deliveries,
    resending: form(PURPOSES.redeliver(id)),
    rotating: form(PURPOSES.rotate(id, oldSecretUntil?.toISOString() ?? "")),
    deletes: manages(account),
    fault,
  };
  return show(deps, reply, webhookPage(await proverOf(deps, human), view), { human });
}

async function showDeletion(
  deps: Deps,
  reply: FastifyReply,
  human: Human,
  webhook: MemberWebhook,
  fault: Fault | undefined,
): Promise<FastifyReply> {
  const token = formToken(deps.keys, human, PURPOSES.delete(webhook.id));
  const page = deletePage(await proverOf(deps, human), webhook, token, fault);
  return show(deps, reply, page, { human });
}

/** @throws Problem not_found for a webhook of none of the person's accounts */
async function find({ db }: Deps, human: Human, id: string): Promise<MemberWebhook> {
  const accountIds = human.memberships.map(({ accountId }) => accountId);
  const webhook = isUuid(id) ? await findWebhookForMember(db, accountIds, id) : undefined;
  if (webhook === undefined) throw notFound("webhooks", "webhookId", id);
  return webhook;
}

/** @throws Problem not_found, not_permitted for a viewer */
async function findManaged(deps: Deps, human: Human, id: string): Promise<MemberWebhook> {
  const webhook = await find(deps, human, id);
  managedBy(human, webhook.accountId);
  return webhook;
}

function isEnabled({ features }: Membership): boolean {
  return features[FEATURE] === true;
}

function handOf(person: Human, accountId: string, origin: RequestOrigin): Hand {
  const { accountName } = accountOf(person, accountId);
  return { person, account: { accountId, accountName }, origin };
}

/** A member may read all that is the account's. */
function readerOf({ accountId }: MemberWebhook): Reader {
  return { accountId, scopes: SCOPES };
}
