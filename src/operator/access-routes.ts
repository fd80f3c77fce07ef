import { Type } from "@sinclair/typebox";
import { NewTokenAnswer, OneToken, TokenMetadata } from "../accounts/schemas.ts";
import { listTokens } from "../accounts/token-service.ts";
import type { App } from "../http/app.ts";
import { acceptNoBody, NoBody } from "../http/body.ts";
import { timeOf } from "../lib/fields.ts";
import { ref } from "../lib/schema.ts";
import * as accountService from "./account-service.ts";
import { operatorOf } from "./gate.ts";
import * as members from "./member-service.ts";
import * as schemas from "./schemas.ts";
import { AccountParams, describe, many, one } from "./schemas.ts";
import * as tokens from "./token-service.ts";

const TokenParams = Type.Object({ accountId: Type.String(), tokenId: Type.String() });
const MemberParams = Type.Object({ accountId: Type.String(), memberId: Type.String() });

/** Gives up what a person has confirmed and is not paid yet, as they may decide no more. */
type VoidSignatures = (accountId: string, userId: string | null) => Promise<void>;

/** Who may act in an account: its tokens and its members (CONTRACT.md §8). */
export function accessRoutes(
  app: App,
  deps: accountService.OperatorDeps,
  voidSignatures: VoidSignatures,
): void {
  tokenRoutes(app, deps);
  memberRoutes(app, deps, voidSignatures);
}

function tokenRoutes(app: App, deps: accountService.OperatorDeps): void {
  const { db } = deps;
  const mint = describe("createAccountToken", "Mint an API token for an account", [
    "token_limit_reached",
    "account_frozen",
  ]);
  app.post(
    "/accounts/:accountId/tokens",
    {
      config: mint.config,
      schema: {
        ...mint.schema,
        params: AccountParams,
        body: schemas.TokenBody,
        response: { 201: NewTokenAnswer },
      },
    },
    async (request, reply) => {
      const account = await accountService.findAccount(db, request.params.accountId);
      const { name, scopes, expiresAt } = request.body;
      const token = {
        name,
        scopes,
        expiresAt: expiresAt === undefined ? null : timeOf("expiresAt", expiresAt),
      };
      return reply.code(201).send(await tokens.mintToken(deps, account, token, operatorOf(request)));
    },
  );

  const listing = describe("listAccountTokens", "List an account's API tokens, without their secrets");
  app.get(
    "/accounts/:accountId/tokens",
    {
      config: listing.config,
      schema: { ...listing.schema, params: AccountParams, response: { 200: many("tokens", TokenMetadata) } },
    },
    async (request) => ({
      tokens: await listTokens(db, await accountService.findAccount(db, request.params.accountId)),
    }),
  );

  const revoke = describe("revokeAccountToken", "Revoke an API token, and those that it minted");
  app.register(async (scope: App) => {
    acceptNoBody(scope);
    scope.delete(
      "/accounts/:accountId/tokens/:tokenId",
      {
        config: revoke.config,
        schema: { ...revoke.schema, params: TokenParams, body: NoBody, response: { 200: OneToken } },
      },
      async (request) => {
        const account = await accountService.findAccount(db, request.params.accountId);
        const { tokenId } = request.params;
        return { token: await tokens.revokeToken(deps, account, tokenId, operatorOf(request)) };
      },
    );
  });
}

/** The members' routes of the same. */
function memberRoutes(app: App, deps: accountService.OperatorDeps, voidSignatures: VoidSignatures): void {
  const { db } = deps;
  const invite = describe("inviteAccountMember", "Invite a person into an account", [
    "member_active",
    "account_frozen",
  ]);
  const Invited = Type.Object({
    member: ref(schemas.Member),
    inviteUrl: Type.String({ description: "Give it to that person alone: it works once, for 24 hours." }),
  });
  app.post(
    "/accounts/:accountId/members",
    {
      config: invite.config,
      schema: {
        ...invite.schema,
        params: AccountParams,
        body: schemas.MemberBody,
        response: { 201: Invited },
      },
    },
    async (request, reply) => {
      const account = await accountService.findAccount(db, request.params.accountId);
      return reply.code(201).send(await members.postMember(deps, account, request.body, operatorOf(request)));
    },
  );

  const list = describe("listAccountMembers", "List an account's members");
  app.get(
    "/accounts/:accountId/members",
    {
      config: list.config,
      schema: {
        ...list.schema,
        params: AccountParams,
        response: { 200: many("members", schemas.Member) },
      },
    },
    async (request) => ({
      members: await members.listMembers(db, await accountService.findAccount(db, request.params.accountId)),
    }),
  );

  const get = describe("getAccountMember", "Read a member");
  const Answer = one("member", schemas.Member);
  app.get(
    "/accounts/:accountId/members/:memberId",
    { config: get.config, schema: { ...get.schema, params: MemberParams, response: { 200: Answer } } },
    async (request) => {
      const account = await accountService.findAccount(db, request.params.accountId);
      return { member: await members.getMember(db, account, request.params.memberId) };
    },
  );

  const patch = describe("changeAccountMember", "Give a member another name or role", [
    "account_frozen",
    "last_owner",
  ]);
  app.patch(
    "/accounts/:accountId/members/:memberId",
    {
      config: patch.config,
      schema: {
        ...patch.schema,
        params: MemberParams,
        body: schemas.MemberChange,
        response: { 200: Answer },
      },
    },
    async (request) => {
      const account = await accountService.findAccount(db, request.params.accountId);
      const { memberId } = request.params;
      const act = operatorOf(request);
      const onLessRights = (userId: string | null) => voidSignatures(account.accountId, userId);
      return { member: await members.patchMember(deps, account, memberId, request.body, act, onLessRights) };
    },
  );

  const remove = describe("removeAccountMember", "Remove a member, or withdraw an invitation", [
    "last_owner",
  ]);
  app.register(async (scope: App) => {
    acceptNoBody(scope);
    scope.delete(
      "/accounts/:accountId/members/:memberId",
      {
        config: remove.config,
        schema: {
          ...remove.schema,
          params: MemberParams,
          body: NoBody,
          response: { 200: Type.Object({ deleted: Type.Literal(true) }) },
        },
      },
      async (request) => {
        const account = await accountService.findAccount(db, request.params.accountId);
        const onLessRights = (userId: string | null) => voidSignatures(account.accountId, userId);
        await members.deleteMember(deps, account, request.params.memberId, operatorOf(request), onLessRights);
        return { deleted: true as const };
      },
    );
  });
}
