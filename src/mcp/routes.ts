import { createMcpHandler } from "@modelcontextprotocol/server";
import { type Static, Type } from "@sinclair/typebox";
import type { FastifyRequest } from "fastify";
import { openGate } from "../accounts/gate.ts";
import { readGrant } from "../accounts/service.ts";
import type { App } from "../http/app.ts";
import { addVary } from "../http/cors.ts";
import { onHangUp } from "../http/hang-up.ts";
import { originOf } from "../http/origin.ts";
import { refuseOtherOrigins } from "../http/same-origin.ts";
import { badField, Problem } from "../lib/problems.ts";
import { type Caller, callTool, type McpDeps } from "./calls.ts";
import { openRequestState } from "./request-state.ts";
import { createMcpServer } from "./server.ts";
import { writeAnswer } from "./wire.ts";

const Message = Type.Object({}, { additionalProperties: true });
const BATCH_AT_MOST = 20;
/** One JSON-RPC message; several at once in the revision that has batches, and in requests that name none. */
const Body = Type.Union([Message, Type.Array(Message, { minItems: 1, maxItems: BATCH_AT_MOST })]);
const REVISION_WITH_BATCHES = "2025-03-26";

const PASSED_ON = /^(content-type|mcp-.+)$/;

type McpRouteDeps = {
  version: string;
  config: { sessionSecrets: readonly Buffer[]; corsOrigins: readonly string[] };
};

/**
 * `POST /mcp`: the Model Context Protocol over streamable HTTP, without sessions, in its revision of 2026-07-28 and in
 * those before it (`initialize` …). Each request brings its token and is answered by whatever process it comes to; GET
 * and DELETE, by which older revisions keep sessions, are 405.
 */
export function mcpRoute(app: App, deps: McpDeps & McpRouteDeps): void {
  const gate = openGate(deps, "mcp", ["origin_refused"], async (credential) => {
    const grant = await readGrant(deps.db, credential);
    return grant && { ...grant, credential };
  });
  const { onRequest, ...gates } = gate.options;
  const requestState = openRequestState(deps.config.sessionSecrets);

  app.post(
    "/mcp",
    {
      ...gates,
      onRequest: [refuseOtherOrigins(deps.config.publicUrl, deps.config.corsOrigins), onRequest],
      schema: { hide: true, body: Body },
    },
    async (request, reply) => {
      const caller = gate.grant(request);
      const parsedBody: Static<typeof Body> = request.body;
      const batch = Array.isArray(parsedBody);
      if (batch) admitBatch(deps, request, caller, parsedBody.length);
      const call = {
        caller,
        requestId: request.id,
        origin: originOf(request),
        onHangUp: (listener: () => void) => onHangUp(reply, listener),
        onFault: (err: unknown) =>
          request.log.error({ reqId: request.id, err }, "unforeseen error in a tool"),
      };
      // Lives for this request only; it keeps no stream open.
      const handler = createMcpHandler(
        () =>
          createMcpServer(
            deps.version,
            (name, args, asked) => callTool(deps, call, name, args, asked),
            (name, args) => requestState({ accountId: caller.accountId, name, args }),
          ),
        { maxSubscriptions: 0, keepAliveMs: 0 },
      );
      const response = await handler.fetch(toWebRequest(request, deps.config.publicUrl), { parsedBody });
      const { accept } = request.headers;
      addVary(reply, "Accept");
      const { status, type, body } = await writeAnswer(response, { accept, batch });
      if (type !== undefined) reply.type(type);
      return reply.code(status).send(body);
    },
  );
}

/**
 * Each message of a batch counts against the token's rate, the first with its request.
 * @throws Problem bad_request {field: "body"} in a revision without batches, rate_limited {retryAfterSeconds}
 */
function admitBatch(
  { config, limits }: McpDeps,
  { headers }: FastifyRequest,
  { rootTokenId }: Caller,
  messages: number,
): void {
  const revision = headers["mcp-protocol-version"] ?? REVISION_WITH_BATCHES;
  if (revision !== REVISION_WITH_BATCHES)
    throw badField("body", "This revision of the protocol has no batches: send one message.");
  for (let i = 1; i < messages; i++) {
    const { allowed, resetSeconds } = limits.hit(`token:${rootTokenId}`, config.rateLimitPerMinute);
    if (!allowed) throw new Problem("rate_limited", { retryAfterSeconds: resetSeconds });
  }
}

/** The request as the SDK takes it, which would refuse a caller who does not accept both of its types. */
function toWebRequest({ headers }: FastifyRequest, publicUrl: string): Request {
  const passedOn = Object.entries(headers).filter(([name]) => PASSED_ON.test(name));
  return new Request(`${publicUrl}/mcp`, {
    method: "POST",
    headers: {
      ...(Object.fromEntries(passedOn) as Record<string, string>),
      accept: "application/json, text/event-stream",
    },
  });
}
