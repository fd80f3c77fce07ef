import { Type } from "@sinclair/typebox";
import { NewTokenAnswer, OneToken, TokenMetadata } from "../accounts/schemas.ts";
import { listTokens } from "../accounts/token-service.ts";
import type { App } from "../http/app.ts";
import { acceptNoBody, NoBody } from "../http/body.ts";
import { timeOf } from "../lib/fields.ts";
import { ref } from "../lib/schema.ts";
import * as access from "./access-service.ts";
import { operatorOf } from "./gate.ts";
import * as schemas from "./schemas.ts";
import { AccountParams, describe, many } from "./schemas.ts";
import * as service from "./service.ts";

const TokenParams = Type.Object({ accountId: Type.String(), tokenId: Type.String() });
const MemberParams = Type.Object({ accountId: Type.String(), memberId: Type.String() });

/** Who may act in an account: its tokens and its members (CONTRACT.md §8). */
export function accessRoutes(app: App, deps: service.OperatorDeps): void {
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
      const account = await service.findAccount(db, request.params.accountId);
      const { name, scopes, expiresAt } = request.body;
      const token = {
        name,
        scopes,
        expiresAt: expiresAt === undefined ? null : timeOf("expiresAt", expiresAt),
      };
      return reply.code(201).send(await access.mintToken(deps, account, token, operatorOf(request)));
    },
  );

  const tokens = describe("listAccountTokens", "List an account's API tokens, without their secrets");
  app.get(
    "/accounts/:accountId/tokens",
    {
      config: tokens.config,
      schema: { ...tokens.schema, params: AccountParams, response: { 200: many("tokens", TokenMetadata) } },
    },
    async (request) => ({
      tokens: await listTokens(db, await service.findAccount(db, request.params.accountId)),
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
        const account = await service.findAccount(db, request.params.accountId);
        const { tokenId } = request.params;
        return { token: await access.revokeToken(deps, account, tokenId, operatorOf(request)) };
      },
    );
  });

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
      const account = await service.findAccount(db, request.params.accountId);
      return reply.code(201).send(await access.postMember(deps, account, request.body, operatorOf(request)));
    },
  );

  const members = describe("listAccountMembers", "List an account's members");
  app.get(
    "/accounts/:accountId/members",
    {
      config: members.config,
      schema: {
        ...members.schema,
        params: AccountParams,
        response: { 200: many("members", schemas.Member) },
      },
    },
    async (request) => ({
      members: await access.listMembers(db, await service.findAccount(db, request.params.accountId)),
    }),
  );
}
