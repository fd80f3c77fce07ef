import { type Static, type TObject, Type } from "@sinclair/typebox";
import type { FastifyReply } from "fastify";
import { findKey, type Key, listKeys } from "../../../accounts/key-service.ts";
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
import type { Human } from "../../../sign-in/gate.ts";
import { mintKey, revokeKey } from "../../../team/api-key-service.ts";
import { deleteMadeBy, listMadeBy } from "../../../webhooks/by-hand-service.ts";
import type { Fault } from "../../kit/forms.ts";
import { managedBy, manages } from "../../kit/memberships.ts";
import { type Answer, PASSWORD, personForm, personPage, UUID } from "../../kit/person-routes.ts";
import { absentFault, proveNow, proverOf } from "../../kit/presence.ts";
import { leadToFault, takeFault } from "../../kit/said.ts";
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

const ScopeName = Type.Unsafe<Scope>({ type: "string", enum: [...SCOPES] });
const FIELDS = {
  account_id: UUID,
  token_id: UUID,
  name: Type.String({ maxLength: 1_000 }),
  // A form sends one of a name as text, several as a list, and none not at all.
  scopes: Type.Optional(Type.Union([ScopeName, Type.Array(ScopeName, { maxItems: SCOPES.length })])),
  lifetime: Type.String({ enum: LIFETIMES.map(([days]) => days) }),
  ...PASSWORD,
};
type MakeForm = Pick<Static<TObject<typeof FIELDS>>, "name" | "scopes" | "lifetime">;

const PURPOSES = {
  make: (accountId: string, tokenId: string) => `keys:make:${accountId}:${tokenId}`,
  revoke: (tokenId: string) => `keys:revoke:${tokenId}`,
  refuse: (accountId: string) => `keys:refuse:${accountId}`,
};

/** `/settings/keys` (docs/contract.md §7). Members see an account's keys; owners and approvers make and revoke them. */
export function keyRoutes(app: App, deps: SessionDeps): void {
  personPage(app, deps, KEYS, ({ human, query, request }, reply) =>
    showKeys(deps, reply, human, {
      said: query.said,
      ...takeFault<Record<string, KeyDraft>>(deps, request, reply, human),
    }),
  );
  makeRoute(app, deps);
  revokeRoutes(app, deps);
  refuseRoutes(app, deps);
}

function makeRoute(app: App, deps: SessionDeps): void {
  const form = personForm(app, deps, {
    fields: FIELDS,
    purpose: ({ body: { account_id, token_id } }) => PURPOSES.make(account_id, token_id),
    returnTo: () => KEYS,
  });
  form(`${KEYS}/make`, async ({ human, body, request }, reply) => {
    const { account_id: accountId, token_id: id, password } = body;
    const account = managedBy(human, accountId);
    const draft = draftOf(body);
    const complain = (fault: Fault) => leadToFault(deps, reply, human, KEYS, fault, { [accountId]: draft });
    const fault = faultIn(draft, accountId);
    if (fault !== undefined) return complain(fault);
    const acting = await proveNow(deps, request, reply, human, password);
    if (acting === undefined) return complain(absentFault(keyFields(accountId).password, password));
    const { name, scopes, lifetime } = draft;
    const expiresIn = lifetime === "none" ? null : Number(lifetime) * DAY;
    const minted = await mintKey(deps, acting, account, { id, name, scopes, expiresIn }, originOf(request));
    return show(deps, reply, newKeyPage(minted, deps.config.publicUrl), { human, status: 201 });
  });
}

function revokeRoutes(app: App, deps: SessionDeps): void {
  const params = { tokenId: Type.String() };
  const path = `${KEYS}/:tokenId/revoke`;
  const page: Answer<typeof params> = async ({ human, params: { tokenId } }, reply) => {
    const { key, account } = await findManaged(deps, human, tokenId);
    const webhooks = await listMadeBy(deps.db, account.accountId, { tokenId: key.id });
    const token = formToken(deps.keys, human, PURPOSES.revoke(key.id));
    return show(deps, reply, revokePage(key, webhooks, token), { human });
  };
  personPage(app, deps, path, page, params);

  const form = personForm(app, deps, {
    params,
    fields: { delete_webhooks: Type.Optional(Type.Literal("yes")) },
    purpose: ({ params: { tokenId } }) => PURPOSES.revoke(tokenId),
    returnTo: () => KEYS,
  });
  form(path, async ({ human, params: { tokenId }, body, request }, reply) => {
    const { key, account } = await findManaged(deps, human, tokenId);
    const { accountId } = account;
    const endWebhooks =
      body.delete_webhooks === "yes"
        ? (trx: Trx) => deleteMadeBy(trx, accountId, { tokenId: key.id })
        : undefined;
    await revokeKey(deps, human, account, { id: key.id, endWebhooks }, originOf(request));
    return reply.redirect(`${KEYS}?said=revoked`, 303);
  });
}

/** What a claim has let an agent do is refused as long as the agent has not fetched its key. */
function refuseRoutes(app: App, deps: SessionDeps): void {
  const params = { accountId: Type.String() };
  const path = `${KEYS}/waiting/:accountId/refuse`;
  const page: Answer<typeof params> = async ({ human, params: asked }, reply) => {
    const { accountId } = managedBy(human, asked.accountId);
    const waiting = await findWaitingGrant(deps.db, accountId);
    if (waiting === undefined) throw notFound("accounts", "accountId", accountId);
    const token = formToken(deps.keys, human, PURPOSES.refuse(accountId));
    return show(deps, reply, refusePage(accountId, waiting, token), { human });
  };
  personPage(app, deps, path, page, params);

  const form = personForm(app, deps, {
    params,
    fields: {},
    purpose: ({ params: { accountId } }) => PURPOSES.refuse(accountId),
    returnTo: () => KEYS,
  });
  form(path, async ({ human, params, request }, reply) => {
    const account = managedBy(human, params.accountId);
    const refused = await refuseGrant(deps, human, account, originOf(request));
    return reply.redirect(`${KEYS}?said=${refused ? "refused" : "fetched"}`, 303);
  });
}

async function showKeys(
  deps: SessionDeps,
  reply: FastifyReply,
  human: Human,
  around: { said: string | undefined; fault?: Fault; draft?: Record<string, KeyDraft> },
): Promise<FastifyReply> {
  const section = async (account: Human["memberships"][number]): Promise<KeySection> => {
    const { accountId, accountName } = account;
    const tokenId = newId();
    const making = {
      tokenId,
      formToken: formToken(deps.keys, human, PURPOSES.make(accountId, tokenId)),
      draft: around.draft?.[accountId],
    };
    const keys = await listKeys(deps.db, account, ENDED_SHOWN);
    const waiting = await findWaitingGrant(deps.db, accountId);
    return { accountId, accountName, keys, waiting, making: manages(account) ? making : undefined };
  };
  const sections = await Promise.all(human.memberships.map(section));
  const page = keysPage(await proverOf(deps, human), sections, around);
  return show(deps, reply, page, { human });
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

function draftOf({ name, scopes = [], lifetime }: MakeForm): KeyDraft {
  return { name: name.replaceAll(/\s+/g, " ").trim(), scopes: [scopes].flat(), lifetime };
}

function faultIn({ name, scopes }: KeyDraft, accountId: string): Fault | undefined {
  const ids = keyFields(accountId);
  if (!isVisible(name)) return { field: ids.name, message: "Give the key a name." };
  if (name.length > NAME_AT_MOST)
    return { field: ids.name, message: `Use at most ${NAME_AT_MOST} characters.` };
  return scopes.length === 0 ? { field: ids.scopes, message: "Choose at least one permission." } : undefined;
}
