import { Type } from "@sinclair/typebox";
import type { Db } from "../database/connection.ts";
import type { App } from "../http/app.ts";
import { acceptEmptyJson, acceptNoBody, NoBody } from "../http/body.ts";
import { originOf } from "../http/origin.ts";
import { timeOf } from "../lib/fields.ts";
import { assertKnownScopes } from "./access-rules.ts";
import { mintFromToken, revokeFromToken } from "./by-token-service.ts";
import { type GateDeps, openUnkeyedGate } from "./gate.ts";
import { NewTokenAnswer, NewTokenBody, OneToken, TokenList } from "./schemas.ts";
import { listTokens } from "./token-service.ts";

const TokenParams = Type.Object({ tokenId: Type.String() });

type Deps = GateDeps & { db: Db };

/** GET /tokens and POST /tokens (docs/contract.md §6). Any valid token will do, before the claim too. */
export function tokenRoutes(app: App, deps: Deps): void {
  acceptEmptyJson(app);
  const { db, config } = deps;
  const listing = openUnkeyedGate(deps, "listTokens", ["bad_request"]);
  app.get(
    "/tokens",
    {
      ...listing.options,
      schema: {
        operationId: "listTokens",
        summary: "List tokens",
        description:
          "The account's tokens, newest first, without their secrets: those that live, and the 100 that ended last. One " +
          "that ended is forgotten after 30 days.",
        tags: ["Tokens"],
        response: { 200: TokenList },
      },
    },
    async (request) => ({ tokens: await listTokens(db, listing.grant(request)) }),
  );

  const minting = openUnkeyedGate(deps, "createToken", ["scope_missing", "token_limit_reached"]);
  app.post(
    "/tokens",
    {
      ...minting.options,
      preValidation: async (request, reply) => {
        await minting.options.preValidation(request, reply);
        if (request.body === undefined) request.body = {};
        assertKnownScopes((request.body as { scopes?: unknown } | null)?.scopes);
      },
      schema: {
        operationId: "createToken",
        summary: "Mint a token",
        description:
          "For another program of yours: at most with the scopes of the calling token, and ending no later. Revoking the " +
          "calling token revokes it too, and both share one allowance of requests. Its secret is in this answer alone. An account has at most 25 active tokens, " +
          "of which tokens minted at most 20, and they mint at most 2,000 in 24 hours. The account's owners are mailed.",
        tags: ["Tokens"],
        body: NewTokenBody,
        response: { 201: NewTokenAnswer },
      },
    },
    async (request, reply) => {
      const { expiresAt, ...asked } = request.body;
      const wanted =
        expiresAt === undefined ? asked : { ...asked, expiresAt: timeOf("expiresAt", expiresAt) };
      const grant = minting.grant(request);
      const minted = await mintFromToken(db, grant, wanted, config.publicUrl, originOf(request));
      return reply.code(201).send(await minting.done(request, reply, minted));
    },
  );
}

/** DELETE /tokens/{tokenId} (docs/contract.md §6). Takes no body. */
export function revokeTokenRoute(app: App, deps: Deps): void {
  acceptNoBody(app);
  const { db, config } = deps;
  const gate = openUnkeyedGate(deps, "revokeToken", ["scope_missing", "made_by_another_key", "not_found"]);
  app.delete(
    "/tokens/:tokenId",
    {
      ...gate.options,
      schema: {
        operationId: "revokeToken",
        summary: "Revoke a token",
        description:
          "At once, for ever, and with all that it has minted. A token may revoke itself, and those that its own root token " +
          "or one that descends from it minted, if it covers their scopes. The account's owners are mailed.",
        tags: ["Tokens"],
        params: TokenParams,
        body: NoBody,
        response: { 200: OneToken },
      },
    },
    async (request, reply) => {
      const { tokenId } = request.params;
      const origin = originOf(request);
      const token = await revokeFromToken(db, gate.grant(request), tokenId, config.publicUrl, origin);
      return { token: await gate.done(request, reply, token) };
    },
  );
}
