import { type Static, Type } from "@sinclair/typebox";
import type { FastifyReply } from "fastify";
import { findKey, type Key, listKeys } from "../../../accounts/token-service.ts";
import { findWaitingGrant, refuseGrant } from "../../../agent-auth/grant-service.ts";
import type { Trx } from "../../../database/connection.ts";
import type { App } from "../../../http/app.ts";
import { originOf } from "../../../http/origin.ts";
import { newId } from "../../../lib/ids.ts";
import { isVisible } from "../../../lib/names.ts";
import { notFound, Problem } from "../../../lib/problems.ts";
import { SCOPES, type Scope } from "../../../lib/scopes.ts";
import { DAY } from "../../../lib/time.ts";
import type { SessionDeps } from "../../../passkeys/session-deps.ts";
import { formToken } from "../../../sign-in/form-token.ts";
import { type Human, openSessionGate } from "../../../sign-in/gate.ts";
import { mintKey, revokeKey } from "../../../team/api-key-service.ts";
import { deleteMadeBy, listMadeBy } from "../../../webhooks/by-hand-service.ts";
import type { Fault } from "../../kit/forms.ts";
import { accountOf, manages } from "../../kit/memberships.ts";
import { absentFault, proveNow, proverOf } from "../../kit/presence.ts";
import { show } from "../../kit/site.ts";
import {
  ENDED_SHOWN,
  KEYS,
  type KeyDraft,
  type KeySection,
  keyFields,
  keysPage,
  LIFETIMES,
  NAME_AT_MOST,
  newKeyPage,
  refusePage,
  revokePage,
} from "./key-pages.ts";

const strict = { additionalProperties: false };
const token = { form_token: Type.String({ maxLength: 100 }) };
const ScopeName = Type.Unsafe<Scope>({ type: "string", enum: [...SCOPES] });
const MakeForm = Type.Object(
  {
    ...token,
    account_id: Type.String({ format: "uuid" }),
    token_id: Type.String({ format: "uuid" }),
    name: Type.String({ maxLength: 1_000 }),
    // A form sends one of a name as text, several as a list, and none not at all.
    scopes: Type.Optional(Type.Union([ScopeName, Type.Array(ScopeName, { maxItems: SCOPES.length })])),
    lifetime: Type.String({ enum: LIFETIMES.map(([days]) => days) }),
    password: Type.Optional(Type.String({ maxLength: 1_024 })),
  },
  strict,
);
const RevokeForm = Type.Object({ ...token, delete_webhooks: Type.Optional(Type.Literal("yes")) }, strict);
const RefuseForm = Type.Object(token, strict);
const Params = Type.Object({ tokenId: Type.String() });
const AccountParams = Type.Object({ accountId: Type.String() });
const Query = Type.Object({ said: Type.Optional(Type.Unsafe<unknown>({})) });

const PURPOSES = {
  make: (accountId: string, tokenId: string) => `keys:make:${accountId}:${tokenId}`,
  revoke: (tokenId: string) => `keys:revoke:${tokenId}`,
  refuse: (accountId: string) => `keys:refuse:${accountId}`,
};

/** `/settings/keys` (docs/contract.md §7). Members see an account's keys; owners and approvers make and revoke them. */
export function keyRoutes(app: App, deps: SessionDeps): void {
  const pages = openSessionGate(deps);
  app.get(KEYS, { ...pages.options, schema: { hide: true, querystring: Query } }, async (request, reply) => {
    const { said } = request.query;
    return showKeys(deps, reply, pages.human(request), { said: typeof said === "string" ? said : undefined });
  });

  const making = openSessionGate(deps, {
    purpose: ({ body }) => {
      const { account_id, token_id } = body as Static<typeof MakeForm>;
      return PURPOSES.make(account_id, token_id);
    },
    returnTo: () => KEYS,
  });
  app.post(
    `${KEYS}/make`,
    { ...making.options, schema: { hide: true, body: MakeForm } },
    async (request, reply) => {
      const human = making.human(request);
      const { account_id: accountId, token_id: id, password } = request.body;
      const account = managedBy(human, accountId);
      const draft = draftOf(request.body);
      const complain = (fault: Fault) =>
        showKeys(deps, reply, human, { fault, drafts: { [accountId]: draft } });
      const fault = faultIn(draft, accountId);
      if (fault !== undefined) return complain(fault);
      const acting = await proveNow(deps, request, reply, human, password);
      if (acting === undefined) return complain(absentFault(keyFields(accountId).password, password));
      const { name, scopes, lifetime } = draft;
      const expiresIn = lifetime === "none" ? null : Number(lifetime) * DAY;
      const minted = await mintKey(deps, acting, account, { id, name, scopes, expiresIn }, originOf(request));
      return show(deps, reply, newKeyPage(minted, deps.config.publicUrl), { human, status: 201 });
    },
  );

  app.get(
    `${KEYS}/:tokenId/revoke`,
    { ...pages.options, schema: { hide: true, params: Params } },
    async (request, reply) => {
      const human = pages.human(request);
      const { key, account } = await findManaged(deps, human, request.params.tokenId);
      const webhooks = await listMadeBy(deps.db, account.accountId, { tokenId: key.id });
      const page = revokePage(key, webhooks, formToken(deps.keys, human, PURPOSES.revoke(key.id)));
      return show(deps, reply, page, { human });
    },
  );

  const revoking = openSessionGate(deps, {
    purpose: ({ params }) => PURPOSES.revoke((params as Static<typeof Params>).tokenId),
    returnTo: () => KEYS,
  });
  app.post(
    `${KEYS}/:tokenId/revoke`,
    { ...revoking.options, schema: { hide: true, params: Params, body: RevokeForm } },
    async (request, reply) => {
      const human = revoking.human(request);
      const { key, account } = await findManaged(deps, human, request.params.tokenId);
      const { accountId } = account;
      const endWebhooks =
        request.body.delete_webhooks === "yes"
          ? (trx: Trx) => deleteMadeBy(trx, accountId, { tokenId: key.id })
          : undefined;
      await revokeKey(deps, human, account, { id: key.id, endWebhooks }, originOf(request));
      return reply.redirect(`${KEYS}?said=revoked`, 303);
    },
  );
  refuseRoutes(app, deps);
}

/** What a claim has let an agent do is refused as long as the agent has not fetched its key. */
function refuseRoutes(app: App, deps: SessionDeps): void {
  const pages = openSessionGate(deps);
  app.get(
    `${KEYS}/waiting/:accountId/refuse`,
    { ...pages.options, schema: { hide: true, params: AccountParams } },
    async (request, reply) => {
      const human = pages.human(request);
      const { accountId } = managedBy(human, request.params.accountId);
      const waiting = await findWaitingGrant(deps.db, accountId);
      if (waiting === undefined) throw notFound("accounts", "accountId", accountId);
      const page = refusePage(accountId, waiting, formToken(deps.keys, human, PURPOSES.refuse(accountId)));
      return show(deps, reply, page, { human });
    },
  );

  const refusing = openSessionGate(deps, {
    purpose: ({ params }) => PURPOSES.refuse((params as Static<typeof AccountParams>).accountId),
    returnTo: () => KEYS,
  });
  app.post(
    `${KEYS}/waiting/:accountId/refuse`,
    { ...refusing.options, schema: { hide: true, params: AccountParams, body: RefuseForm } },
    async (request, reply) => {
      const human = refusing.human(request);
      const account = managedBy(human, request.params.accountId);
      const refused = await refuseGrant(deps, human, account, originOf(request));
      return reply.redirect(`${KEYS}?said=${refused ? "refused" : "fetched"}`, 303);
    },
  );
}

/** @throws Problem not_found for an account that is not theirs, not_permitted for a viewer */
function managedBy(human: Human, accountId: string): Human["memberships"][number] {
  const account = accountOf(human, accountId);
  if (!manages(account)) throw new Problem("not_permitted");
  return account;
}

async function showKeys(
  deps: SessionDeps,
  reply: FastifyReply,
  human: Human,
  around: { said?: string | undefined; fault?: Fault; drafts?: Record<string, KeyDraft> },
): Promise<FastifyReply> {
  const section = async (account: Human["memberships"][number]): Promise<KeySection> => {
    const { accountId, accountName } = account;
    const tokenId = newId();
    const making = {
      tokenId,
      formToken: formToken(deps.keys, human, PURPOSES.make(accountId, tokenId)),
      draft: around.drafts?.[accountId],
    };
    const keys = await listKeys(deps.db, account, ENDED_SHOWN);
    const waiting = await findWaitingGrant(deps.db, accountId);
    return { accountId, accountName, keys, waiting, making: manages(account) ? making : undefined };
  };
  const sections = await Promise.all(human.memberships.map(section));
  const status = around.fault === undefined ? 200 : 422;
  return show(deps, reply, keysPage(await proverOf(deps, human), sections, around), { human, status });
}

/**
 * A key of one of the person's accounts, which they may revoke.
 * @throws Problem not_found, not_permitted for a viewer
 */
async function findManaged(
  { db }: SessionDeps,
  human: Human,
  id: string,
): Promise<{ key: Key; account: Human["memberships"][number] }> {
  for (const account of human.memberships) {
    const key = await findKey(db, account, id);
    if (key === undefined) continue;
    if (!manages(account)) throw new Problem("not_permitted");
    return { key, account };
  }
  throw notFound("tokens", "tokenId", id);
}

function draftOf({ name, scopes = [], lifetime }: Static<typeof MakeForm>): KeyDraft {
  return { name: name.replaceAll(/\s+/g, " ").trim(), scopes: [scopes].flat(), lifetime };
}

function faultIn({ name, scopes }: KeyDraft, accountId: string): Fault | undefined {
  const ids = keyFields(accountId);
  if (!isVisible(name)) return { field: ids.name, message: "Give the key a name." };
  if (name.length > NAME_AT_MOST)
    return { field: ids.name, message: `Use at most ${NAME_AT_MOST} characters.` };
  return scopes.length === 0 ? { field: ids.scopes, message: "Choose at least one permission." } : undefined;
}
