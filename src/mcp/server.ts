import {
  type CallToolResult,
  type InputRequiredResult,
  inputRequired,
  McpServer,
  ProtocolError,
  ProtocolErrorCode,
  type ServerContext,
} from "@modelcontextprotocol/server";
import { explainApproval, explainRefusal, type HumanLink, nextLink, type Outcome } from "./answers.ts";
import { INSTRUCTIONS, isToolName, TOOLS, type Tool, type ToolName } from "./tools.ts";

/** What `tools/call` asks for. */
export type ToolRequest = { name: string; arguments?: Record<string, unknown> | undefined };
export type ToolResult = CallToolResult | InputRequiredResult;

/**
 * An MCP server that has tools, and nothing else. The tools' schemas are ours, so it lists and calls them itself: the
 * SDK would check the arguments before anybody has asked whether the token may call the tool at all.
 */
export function createToolServer(
  version: string,
  tools: readonly Tool[],
  call: (request: ToolRequest, context: ServerContext, server: McpServer) => Promise<ToolResult>,
): McpServer {
  const server = new McpServer(
    { name: "countersign", title: "Countersign", version },
    { capabilities: { tools: {} }, instructions: INSTRUCTIONS },
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
 */
export function createMcpServer(
  version: string,
  callTool: (name: ToolName, args: Record<string, unknown>, asked?: string) => Promise<Outcome>,
): McpServer {
  return createToolServer(version, TOOLS, async ({ name, arguments: args = {} }, { mcpReq }, { server }) => {
    if (!isToolName(name)) throw unknownTool(name);
    // Comes back from the client, who could name any approval: the look-up shows those of its own account alone.
    const state: unknown = mcpReq.requestState();
    const outcome = await callTool(name, args, typeof state === "string" ? state : undefined);
    const link = nextLink(name, outcome);
    const shown = link && mcpReq.inputResponses?.[link.name];
    const canShow = server.getClientCapabilities()?.elicitation?.url !== undefined;
    if (link !== undefined && shown === undefined && canShow) return askToOpen(link);
    return toResult(outcome, isRefusal(shown));
  });
}

/** @throws a protocol error and not a refusal: there is nothing that could be corrected about its arguments */
export function unknownTool(name: string): ProtocolError {
  return new ProtocolError(ProtocolErrorCode.InvalidParams, `There is no tool called ${name}.`);
}

function askToOpen({ name, url, message, approvalId }: HumanLink): InputRequiredResult {
  return inputRequired({
    inputRequests: { [name]: inputRequired.elicitUrl({ message, url }) },
    ...(approvalId === undefined ? {} : { requestState: approvalId }),
  });
}

function isRefusal(shown: unknown): boolean {
  return typeof shown === "object" && shown !== null && "action" in shown && shown.action !== "accept";
}

const NOT_OPENED =
  "Your human did not open the link that your client showed. That decides nothing; you may still give it to them.";

function toResult(outcome: Outcome, notOpened: boolean): CallToolResult {
  const notes = notOpened ? [NOT_OPENED] : [];
  if (!outcome.ok) return { content: toContent([...notes, explainRefusal(outcome)]), isError: true };
  const { body, approval } = outcome;
  if (approval !== undefined) notes.push(explainApproval(approval));
  return { content: toContent([...notes, JSON.stringify(body)]), structuredContent: body };
}

function toContent(texts: readonly string[]): CallToolResult["content"] {
  return texts.map((text) => ({ type: "text", text }));
}
