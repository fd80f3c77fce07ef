import type { Static } from "@sinclair/typebox";
import type { FastifyReply, FastifyRequest } from "fastify";
import { findAsker } from "../../../accounts/token-service.ts";
import type { App } from "../../../http/app.ts";
import { originOf } from "../../../http/origin.ts";
import { isUuid, newId } from "../../../lib/ids.ts";
import type { RequestOrigin } from "../../../lib/origin.ts";
import { notFound, Problem } from "../../../lib/problems.ts";
import { SCOPES } from "../../../lib/scopes.ts";
import type { SessionDeps } from "../../../passkeys/session-deps.ts";
import { formToken } from "../../../sign-in/form-token.ts";
import { type Human, openSessionGate } from "../../../sign-in/gate.ts";
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
import { accountOf, manages as mayManage } from "../../kit/memberships.ts";
import { absentFault, proveNow, proverOf } from "../../kit/presence.ts";
import { show } from "../../kit/site.ts";
import { AddForm, DeleteForm, Params, Query, RedeliverForm, RotateForm } from "./webhook-forms.ts";
import {
  type Draft,
  deletePage,
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

const PURPOSES = {
  add: (accountId: string, webhookId: string) => `webhooks:add:${accountId}:${webhookId}`,
  rotate: (webhookId: string, shown: string) => `webhooks:rotate:${webhookId}:${shown}`,
  redeliver: (webhookId: string) => `webhooks:redeliver:${webhookId}`,
  delete: (webhookId: string) => `webhooks:delete:${webhookId}`,
};

/** `/settings/webhooks` (docs/contract.md §7). Members see an account's webhooks; owners and approvers manage them. */
export function webhookPageRoutes(app: App, deps: Deps): void {
  const pages = openSessionGate(deps);
  const readable = { ...pages.options, schema: { hide: true as const, querystring: Query } };
  const one = { ...pages.options, schema: { hide: true as const, querystring: Query, params: Params } };

  app.get(WEBHOOKS, readable, async (request, reply) =>
    showList(deps, reply, pages.human(request), { said: textOf(request.query.said) }),
  );

  app.get(`${WEBHOOKS}/:webhookId`, one, async (request, reply) => {
    const human = pages.human(request);
    const webhook = await find(deps, human, request.params.webhookId);
    const { said, before } = request.query;
    return showOne(deps, reply, human, webhook, { said: textOf(said), before: textOf(before) });
  });

  app.get(`${WEBHOOKS}/:webhookId/delete`, one, async (request, reply) => {
    const human = pages.human(request);
    const webhook = await findManaged(deps, human, request.params.webhookId);
    return showDeletion(deps, reply, human, webhook);
  });

  addRoute(app, deps);
  actionRoutes(app, deps);
}

function addRoute(app: App, deps: Deps): void {
  const gate = openSessionGate(deps, {
    purpose: ({ body }) => {
      const { account_id, webhook_id } = body as Static<typeof AddForm>;
      return PURPOSES.add(account_id, webhook_id);
    },
    returnTo: () => WEBHOOKS,
  });
  app.post(
    `${WEBHOOKS}/add`,
    { ...gate.options, schema: { hide: true, body: AddForm } },
    async (request, reply) => {
      const human = gate.human(request);
      const { account_id: accountId, webhook_id: id, url, event_types = [], password } = request.body;
      assertManages(human, accountId);
      if (!isEnabled(human, accountId)) throw new Problem("feature_disabled");
      const draft = { url: url.trim(), eventTypes: [event_types].flat() };
      const complain = (fault: Fault) =>
        showList(deps, reply, human, { fault, drafts: { [accountId]: draft } });
      if (draft.eventTypes.length === 0) {
        return complain({ field: fieldIds(accountId).types, message: "Choose at least one event." });
      }
      const acting = await proveNow(deps, request, reply, human, password);
      if (acting === undefined) return complain(absentFault(fieldIds(accountId).password, password));
      try {
        const disclosed = await addByHand(deps, handOf(acting, accountId, originOf(request)), id, draft);
        return show(deps, reply, secretPage(disclosed, true), { human, status: 201 });
      } catch (error) {
        if (!(error instanceof Problem) || error.details?.field !== "url") throw error;
        return complain({ field: fieldIds(accountId).url, message: error.message });
      }
    },
  );
}

function actionRoutes(app: App, deps: Deps): void {
  const formGate = (purpose: (id: string, body: unknown) => string) =>
    openSessionGate(deps, {
      purpose: (request) => purpose(idOf(request), request.body),
      returnTo: (request) => webhookPath(idOf(request)),
    });

  const rotating = formGate((id, body) => PURPOSES.rotate(id, (body as Static<typeof RotateForm>).shown));
  app.post(
    `${WEBHOOKS}/:webhookId/rotate-secret`,
    { ...rotating.options, schema: { hide: true, params: Params, body: RotateForm } },
    async (request, reply) => {
      const human = rotating.human(request);
      const webhook = await findManaged(deps, human, request.params.webhookId);
      const { shown, password } = request.body;
      const acting = await proveNow(deps, request, reply, human, password);
      if (acting === undefined)
        return showOne(deps, reply, human, webhook, { fault: absentFault(PASSWORD_FIELD, password) });
      const hand = handOf(acting, webhook.accountId, originOf(request));
      const disclosed = await rotateByHand(deps, hand, webhook.id, { oldSecretUntil: shown || null });
      return show(deps, reply, secretPage(disclosed, false), { human });
    },
  );

  const resending = formGate(PURPOSES.redeliver);
  app.post(
    `${WEBHOOKS}/:webhookId/redeliver`,
    { ...resending.options, schema: { hide: true, params: Params, body: RedeliverForm } },
    async (request, reply) => {
      const human = resending.human(request);
      const webhook = await findManaged(deps, human, request.params.webhookId);
      await redeliver(deps, readerOf(webhook), webhook.id, request.body.delivery_id, human);
      return reply.redirect(`${webhookPath(webhook.id)}?said=again`, 303);
    },
  );

  const deleting = formGate(PURPOSES.delete);
  app.post(
    `${WEBHOOKS}/:webhookId/delete`,
    { ...deleting.options, schema: { hide: true, params: Params, body: DeleteForm } },
    async (request, reply) => {
      const human = deleting.human(request);
      const webhook = await findManaged(deps, human, request.params.webhookId);
      const { password } = request.body;
      const acting = await proveNow(deps, request, reply, human, password);
      if (acting === undefined)
        return showDeletion(deps, reply, human, webhook, absentFault(PASSWORD_FIELD, password));
      await deleteByHand(deps, handOf(acting, webhook.accountId, originOf(request)), webhook.id);
      return reply.redirect(`${WEBHOOKS}?said=deleted`, 303);
    },
  );
}

async function showList(
  deps: Deps,
  reply: FastifyReply,
  human: Human,
  around: { said?: string | undefined; fault?: Fault; drafts?: Record<string, Draft> },
): Promise<FastifyReply> {
  const section = async ({
    accountId,
    accountName,
  }: Human["memberships"][number]): Promise<WebhookSection> => {
    const webhookId = newId();
    const token = formToken(deps.keys, human, PURPOSES.add(accountId, webhookId));
    return {
      accountId,
      accountName,
      enabled: isEnabled(human, accountId),
      webhooks: await listWebhooks(deps.db, accountId),
      adding: manages(human, accountId)
        ? { webhookId, formToken: token, draft: around.drafts?.[accountId] }
        : undefined,
    };
  };
  const sections = await Promise.all(human.memberships.map(section));
  const status = around.fault === undefined ? 200 : 422;
  return show(deps, reply, webhooksPage(await proverOf(deps, human), sections, around), { human, status });
}

async function showOne(
  deps: Deps,
  reply: FastifyReply,
  human: Human,
  webhook: MemberWebhook,
  { said, before, fault }: { said?: string | undefined; before?: string | undefined; fault?: Fault },
): Promise<FastifyReply> {
  const { id, accountId, oldSecretUntil } = webhook;
  const page = {
    limit: DELIVERIES_SHOWN,
    ...(before !== undefined && /^\d{1,15}$/.test(before) && { cursor: before }),
  };
  const deliveries = await listDeliveries(deps, readerOf(webhook), id, page);
  const { makerTokenId } = webhook;
  const asker = makerTokenId === null ? undefined : await findAsker(deps.db, accountId, makerTokenId);
  const changes = manages(human, accountId) && webhook.status === "ACTIVE";
  const form = (purpose: string) =>
    changes ? { formToken: formToken(deps.keys, human, purpose) } : undefined;
  const view = {
    webhook,
    asker: asker ?? null,
    accountName: human.memberships.length > 1 ? membershipOf(human, accountId)?.accountName : undefined,
    now: human.now,
    said,
    deliveries,
    resending: form(PURPOSES.redeliver(id)),
    rotating: form(PURPOSES.rotate(id, oldSecretUntil?.toISOString() ?? "")),
    deletes: manages(human, accountId),
    fault,
  };
  const status = fault === undefined ? 200 : 422;
  return show(deps, reply, webhookPage(await proverOf(deps, human), view), { human, status });
}

async function showDeletion(
  deps: Deps,
  reply: FastifyReply,
  human: Human,
  webhook: MemberWebhook,
  fault?: Fault,
): Promise<FastifyReply> {
  const token = formToken(deps.keys, human, PURPOSES.delete(webhook.id));
  const page = deletePage(await proverOf(deps, human), webhook, token, fault);
  return show(deps, reply, page, { human, status: fault === undefined ? 200 : 422 });
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
  assertManages(human, webhook.accountId);
  return webhook;
}

/** @throws Problem not_found for an account that is not theirs, not_permitted for a viewer */
function assertManages(human: Human, accountId: string): void {
  if (!mayManage(accountOf(human, accountId))) throw new Problem("not_permitted");
}

function membershipOf(human: Human, accountId: string) {
  return human.memberships.find((membership) => membership.accountId === accountId);
}

function manages(human: Human, accountId: string): boolean {
  const membership = membershipOf(human, accountId);
  return membership !== undefined && mayManage(membership);
}

function isEnabled(human: Human, accountId: string): boolean {
  return membershipOf(human, accountId)?.features[FEATURE] === true;
}

function handOf(person: Human, accountId: string, origin: RequestOrigin): Hand {
  const accountName = membershipOf(person, accountId)?.accountName ?? "";
  return { person, account: { accountId, accountName }, origin };
}

/** A member may read all that is the account's. */
function readerOf({ accountId }: MemberWebhook): Reader {
  return { accountId, scopes: SCOPES };
}

function idOf(request: FastifyRequest): string {
  return (request.params as { webhookId: string }).webhookId;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
