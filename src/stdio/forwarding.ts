import {
  type CallToolResult,
  CLIENT_CAPABILITIES_META_KEY,
  CLIENT_INFO_META_KEY,
  isInputRequiredResult,
  isSpecType,
  PROTOCOL_VERSION_META_KEY,
  ProtocolError,
  type ServerContext,
} from "@modelcontextprotocol/server";
import type { ErrorEnvelope } from "../http/errors.ts";
import type { ToolRequest, ToolResult } from "../mcp/server.ts";
import { ask, NoAnswer, type Remote, type Reply } from "./remote.ts";

/** The revision that is spoken to the service, whichever the client speaks: each request stands for itself. */
const REVISION = "2026-07-28";
const METHOD = "tools/call";

export type Forwarded =
  | { ok: true; result: ToolResult }
  | { ok: false; status: number; envelope: ErrorEnvelope };

/**
 * Calls the tool of that name at `/mcp`. What the service would have the client show to its human, and what comes of
 * that, goes through here as it is.
 * @throws NoAnswer; ProtocolError where the service answers with one
 */
export async function forwardCall(
  remote: Remote,
  token: string,
  request: ToolRequest,
  { mcpReq }: Pick<ServerContext, "mcpReq">,
  canShowPages: boolean,
): Promise<Forwarded> {
  const { name, arguments: args = {} } = request;
  const requestState: unknown = mcpReq.requestState();
  const params = {
    name,
    arguments: args,
    ...(mcpReq.inputResponses === undefined ? {} : { inputResponses: mcpReq.inputResponses }),
    ...(requestState === undefined ? {} : { requestState }),
    _meta: {
      [PROTOCOL_VERSION_META_KEY]: REVISION,
      [CLIENT_INFO_META_KEY]: { name: "countersign-mcp", version: remote.version },
      [CLIENT_CAPABILITIES_META_KEY]: canShowPages ? { elicitation: { url: {} } } : {},
    },
  };
  const reply = await ask(remote, "/mcp", {
    token,
    body: { jsonrpc: "2.0", id: 1, method: METHOD, params },
    headers: {
      accept: "application/json, text/event-stream",
      "mcp-protocol-version": REVISION,
      "mcp-method": METHOD,
      "mcp-name": name,
    },
    signal: mcpReq.signal,
  });
  return toForwarded(remote, reply);
}

function toForwarded(remote: Remote, { status, body }: Reply): Forwarded {
  const { result, error, code } = body;
  if (isInputRequiredResult(result)) return { ok: true, result };
  if (isCallResult(result)) {
    // Without what the revision wraps around a result: the client may speak another.
    const { content, structuredContent, isError } = result;
    return {
      ok: true,
      result: {
        content,
        ...(structuredContent === undefined ? {} : { structuredContent }),
        ...(isError === undefined ? {} : { isError }),
      },
    };
  }
  if (typeof error === "string" && typeof code === "string") {
    return { ok: false, status, envelope: body as ErrorEnvelope };
  }
  if (isSpecType.JSONRPCErrorResponse(body)) throw new ProtocolError(body.error.code, body.error.message);
  throw new NoAnswer(
    remote,
    `answered ${status}, and nothing that a tool answers`,
    "Tell your human: COUNTERSIGN_URL may be wrong.",
  );
}

function isCallResult(result: unknown): result is CallToolResult {
  return isSpecType.CallToolResult(result) && Array.isArray(result.content);
}
