import { createMcpHandler } from "@modelcontextprotocol/server";
import { type Static, Type } from "@sinclair/typebox";
import type { FastifyRequest } from "fastify";
import { openGate } from "../accounts/gate.ts";
import { readGrant } from "../accounts/service.ts";
import type { App } from "../http/app.ts";
import { onHangUp } from "../http/hang-up.ts";
import { refuseOtherOrigins } from "../http/same-origin.ts";
import { callTool, type McpDeps } from "./calls.ts";
import { createMcpServer } from "./server.ts";

/** One JSON-RPC message. Not several at once: each counts as a request, and is let in on its own. */
const Message = Type.Object({}, { additionalProperties: true });

const PASSED_ON = /^(accept|content-type|mcp-.+)$/;

/**
 * `POST /mcp`: the Model Context Protocol over streamable HTTP, without sessions, in its revision of 2026-07-28 and in
 * those before it (`initialize` …). Each request brings its token and is answered by whatever process it comes to; GET
 * and DELETE, by which older revisions keep sessions, are 405.
 */
export function mcpRoute(app: App, deps: McpDeps & { version: string }): void {
  const gate = openGate(deps, { by: "token" }, ["origin_refused"], async (credential) => {
    const grant = await readGrant(deps.db, credential);
    return grant && { ...grant, credential };
  });
  const { onRequest, ...gates } = gate.options;

  app.post(
    "/mcp",
    {
      ...gates,
      onRequest: [refuseOtherOrigins(deps.config.publicUrl), onRequest],
      schema: { hide: true, body: Message },
    },
    async (request, reply) => {
      const call = {
        caller: gate.grant(request),
        requestId: request.id,
        onHangUp: (listener: () => void) => onHangUp(reply, listener),
        onFault: (err: unknown) =>
          request.log.error({ reqId: request.id, err }, "unforeseen error in a tool"),
      };
      // Made for this request and gone with it; it keeps no stream open for anybody.
      const handler = createMcpHandler(
        () => createMcpServer(deps.version, (name, args, asked) => callTool(deps, call, name, args, asked)),
        { maxSubscriptions: 0 },
      );
      const parsedBody: Static<typeof Message> = request.body;
      return reply.send(await handler.fetch(toWebRequest(request, deps.config.publicUrl), { parsedBody }));
    },
  );
}

function toWebRequest({ headers }: FastifyRequest, publicUrl: string): Request {
  const passedOn = Object.entries(headers).filter(([name]) => PASSED_ON.test(name));
  return new Request(`${publicUrl}/mcp`, {
    method: "POST",
    headers: Object.fromEntries(passedOn) as Record<string, string>,
  });
}
