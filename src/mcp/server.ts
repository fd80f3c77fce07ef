import {
  type CallToolResult,
  CLIENT_CAPABILITIES_META_KEY,
  CLIENT_INFO_META_KEY,
  type ClientCapabilities,
  type Implementation,
  type InputRequiredResult,
  inputRequired,
  McpServer,
  ProtocolError,
  ProtocolErrorCode,
  type RequestStateCodec,
  type ServerContext,
} from "@modelcontextprotocol/server";
import { explainApproval, explainRefusal, type HumanLink, nextLink, type Outcome } from "./answers.ts";
import { INSTRUCTIONS, isToolName, TOOLS, type Tool, type ToolName } from "./tools.ts";

/** What `tools/call` asks for. */
export type ToolRequest = { name: string; arguments?: Record<string, unknown> | undefined };
export type ToolResult = CallToolResult | InputRequiredResult;

/**
 * An MCP server that has tools, and nothing else. The tools' schemas are ours, so it lists and calls them itself: the
 * SDK would check the arguments before the token's permission to call the tool.
 */
export function createToolServer(
  { version, tools, instructions }: { version: string; tools: readonly Tool[]; instructions: string },
  call: (request: ToolRequest, context: ServerContext, server: McpServer) => Promise<ToolResult>,
): McpServer {
  const server = new McpServer(
    { name: "countersign", title: "Countersign", version },
    // Said, as the SDK would promise news of changes that never come.
    { capabilities: { tools: { listChanged: false } }, instructions },
  );
  server.server.setRequestHandler("tools/list", async () => ({ tools: [...tools] }));
  server.server.setRequestHandler("tools/call", async ({ params }, context) => call(params, context, server));
  return server;
}

/**
 * The server behind `/mcp`, for one request. Where the client can show a page to its human, a call that needs one is
 * answered with the page's address first, once, and the client calls again when the human has been there; where it
 * cannot, the address is in the text.
 * @param callTool `asked` names the approval that this call has asked for before the human was sent to its page
 * @param stateOf seals what a call is resumed by, bound to who makes it and to its arguments
 */
export function createMcpServer(
  version: string,
  callTool: (name: ToolName, args: Record<string, unknown>, asked?: string) => Promise<Outcome>,
  stateOf: (name: ToolName, args: Record<string, unknown>) => RequestStateCodec<string>,
): McpServer {
  const parts = { version, tools: TOOLS, instructions: INSTRUCTIONS };
  return createToolServer(parts, async ({ name, arguments: args = {} }, context, server) => {
    const { mcpReq } = context;
    if (!isToolName(name)) throw unknownTool(name);
    const state = stateOf(name, args);
    const sealed: unknown = mcpReq.requestState();
    const asked =
      typeof sealed === "string"
        ? await state.verify(sealed, context).catch(() => {
            throw new ProtocolError(
              ProtocolErrorCode.InvalidParams,
              "This requestState is too old, or of another call. Call without it.",
            );
          })
        : undefined;
    const outcome = await callTool(name, args, asked);
    const link = nextLink(name, outcome);
    const shown = link && mcpReq.inputResponses?.[link.name];
    if (link !== undefined && shown === undefined && readClient(server, mcpReq).canShowPages) {
      const { approvalId } = link;
      return askToOpen(link, approvalId && (await state.mint(approvalId, context)));
    }
    return toResult(outcome, notesOn(shown));
  });
}

/** @throws a protocol error and not a refusal: there is nothing that could be corrected about its arguments */
export function unknownTool(name: string): ProtocolError {
  return new ProtocolError(ProtocolErrorCode.InvalidParams, `There is no tool called ${name}.`);
}

type Envelope = {
  [CLIENT_CAPABILITIES_META_KEY]?: ClientCapabilities;
  [CLIENT_INFO_META_KEY]?: Implementation;
};

/**
 * Who calls, and whether they can show a page to their human, by its address. The newest revision says it with each
 * request, those before it once.
 */
export function readClient({ server }: McpServer, { envelope }: ServerContext["mcpReq"]) {
  const said: Envelope = envelope ?? {};
  const capabilities = said[CLIENT_CAPABILITIES_META_KEY] ?? server.getClientCapabilities();
  return {
    name: (said[CLIENT_INFO_META_KEY] ?? server.getClientVersion())?.name,
    canShowPages: capabilities?.elicitation?.url !== undefined,
  };
}

/** Has the client show a page to its human, and call again with `requestState` when they have been there. */
export function askToOpen({ name, url, message }: HumanLink, requestState?: string): InputRequiredResult {
  return inputRequired({
    inputRequests: { [name]: inputRequired.elicitUrl({ message, url }) },
    ...(requestState === undefined ? {} : { requestState }),
  });
}

const NOT_OPENED =
  "Your human did not open the link that your client showed. That decides nothing; you may still give it to them.";

/** What a model learns about the page that its client has shown, if anything. */
export function notesOn(shown: unknown): string[] {
  const refused =
    typeof shown === "object" && shown !== null && "action" in shown && shown.action !== "accept";
  return refused ? [NOT_OPENED] : [];
}

function toResult(outcome: Outcome, notes: readonly string[]): CallToolResult {
  if (!outcome.ok) return toRefusal(...notes, explainRefusal(outcome));
  const { body, approval } = outcome;
  return toAnswer(body, ...notes, ...(approval === undefined ? [] : [explainApproval(approval)]));
}

/** What a call came to, for programs, and the same for models, after what they should know of it. */
export function toAnswer(body: Record<string, unknown>, ...texts: readonly string[]): CallToolResult {
  return { content: toContent([...texts, JSON.stringify(body)]), structuredContent: body };
}

/** That a call came to nothing, and what to do. */
export function toRefusal(...texts: readonly string[]): CallToolResult {
  return { content: toContent(texts), isError: true };
}

function toContent(texts: readonly string[]): CallToolResult["content"] {
  return texts.map((text) => ({ type: "text", text }));
}
