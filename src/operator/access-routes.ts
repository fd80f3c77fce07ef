import { Type } from "@sinclair/typebox";
import { NewTokenAnswer, OneToken, TokenMetadata } from "../accounts/schemas.ts";
import { listTokenPage } from "../accounts/token-service.ts";
import type { App } from "../http/app.ts";
import { acceptNoBody, NoBody } from "../http/body.ts";
import { timeOf } from "../lib/fields.ts";
import { ref } from "../lib/schema.ts";
import * as accountService from "./account-service.ts";
import { operatorOf } from "./gate.ts";
import { PageQuery, pageOf } from "./list-schemas.ts";
import * as members from "./member-service.ts";
import * as schemas from "./schemas.ts";
import { AccountParams, describe, one } from "./schemas.ts";
import * as tokens from "./token-service.ts";

const TokenParams = Type.Object({ accountId: Type.String(), tokenId: Type.String() });
const MemberParams = Type.Object({ accountId: Type.String(), memberId: Type.String() });

/** Cancels the unpaid attempts that a person confirmed, because they may no longer decide. */
type VoidSignatures = (accountId: string, userId: string | null) => Promise<void>;

/** Who may act in an account: its tokens and its members (docs/contract.md §8). */
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
  app.post(
    "/accounts/:accountId/tokens",
    describe(
      "createAccountToken",
      "Mint an API token for an account",
      {
        params: AccountParams,
        body: schemas.TokenBody,
        response: { 201: NewTokenAnswer },
      },
      ["token_limit_reached", "account_frozen"],
    ),
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

  app.get(
    "/accounts/:accountId/tokens",
    describe("listAccountTokens", "List an account's API tokens, without their secrets", {
      params: AccountParams,
      querystring: PageQuery,
      response: { 200: pageOf("tokens", TokenMetadata) },
    }),
    async (request) =>
      listTokenPage(db, await accountService.findAccount(db, request.params.accountId), request.query),
  );

  app.register(async (scope: App) => {
    acceptNoBody(scope);
    scope.delete(
      "/accounts/:accountId/tokens/:tokenId",
      describe("revokeAccountToken", "Revoke an API token, and those that it minted", {
        params: TokenParams,
        body: NoBody,
        response: { 200: OneToken },
      }),
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
  const Invited = Type.Object({
    member: ref(schemas.Member),
    inviteUrl: Type.String({ description: "Give it to that person alone: it works once, for 24 hours." }),
  });
  app.post(
    "/accounts/:accountId/members",
    describe(
      "inviteAccountMember",
      "Invite a person into an account",
      {
        params: AccountParams,
        body: schemas.MemberBody,
        response: { 201: Invited },
      },
      ["member_active", "account_frozen"],
    ),
    async (request, reply) => {
      const account = await accountService.findAccount(db, request.params.accountId);
      return reply.code(201).send(await members.postMember(deps, account, request.body, operatorOf(request)));
    },
  );

  app.get(
    "/accounts/:accountId/members",
    describe("listAccountMembers", "List an account's members", {
      params: AccountParams,
      querystring: PageQuery,
      response: { 200: pageOf("members", schemas.Member) },
    }),
    async (request) =>
      members.pageMembers(db, await accountService.findAccount(db, request.params.accountId), request.query),
  );

  const Answer = one("member", schemas.Member);
  app.get(
    "/accounts/:accountId/members/:memberId",
    describe("getAccountMember", "Read a member", { params: MemberParams, response: { 200: Answer } }),
    async (request) => {
      const account = await accountService.findAccount(db, request.params.accountId);
      return { member: await members.getMember(db, account, request.params.memberId) };
    },
  );

  app.patch(
    "/accounts/:accountId/members/:memberId",
    describe(
      "changeAccountMember",
      "Give a member another name or role",
      {
        params: MemberParams,
        body: schemas.MemberChange,
        response: { 200: Answer },
      },
      ["account_frozen", "last_owner"],
    ),
    async (request) => {
      const account = await accountService.findAccount(db, request.params.accountId);
      const { memberId } = request.params;
      const act = operatorOf(request);
      const onLessRights = (userId: string | null) => voidSignatures(account.accountId, userId);
      return { member: await members.patchMember(deps, account, memberId, request.body, act, onLessRights) };
    },
  );

  app.register(async (scope: App) => {
    acceptNoBody(scope);
    scope.delete(
      "/accounts/:accountId/members/:memberId",
      describe(
        "removeAccountMember",
        "Remove a member, or withdraw an invitation",
        {
          params: MemberParams,
          body: NoBody,
          response: { 200: schemas.Deleted },
        },
        ["last_owner"],
      ),
      async (request) => {
        const account = await accountService.findAccount(db, request.params.accountId);
        const onLessRights = (userId: string | null) => voidSignatures(account.accountId, userId);
        await members.deleteMember(deps, account, request.params.memberId, operatorOf(request), onLessRights);
        return { deleted: true as const };
      },
    );
  });
}
