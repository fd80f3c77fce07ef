import { type McpServer, ProtocolError, type ServerContext } from "@modelcontextprotocol/server";
import { compileStrict, fromValidation } from "../http/validation.ts";
import { explainRefusal } from "../mcp/answers.ts";
import {
  askToOpen,
  createToolServer,
  notesOn,
  readClient,
  type ToolRequest,
  type ToolResult,
  toAnswer,
  toRefusal,
  unknownTool,
} from "../mcp/server.ts";
import { isToolName } from "../mcp/tools.ts";
import {
  claimLink,
  explainDeadToken,
  explainLostToken,
  explainNoToken,
  explainRefused,
  explainStanding,
  REGISTER_AGAIN,
  TOKEN_IS_GIVEN,
} from "./answers.ts";
import { forwardCall } from "./forwarding.ts";
import { isUnclaimed, nameHuman, type Outcome, register, standingOf, waitForClaim } from "./registration.ts";
import { NoAnswer, type Remote } from "./remote.ts";
import { type TokenFile, TokenFileError } from "./token-file.ts";
import {
  isOwnTool,
  OWN_INPUTS,
  type OwnInput,
  type OwnToolName,
  STDIO_INSTRUCTIONS,
  STDIO_TOOLS,
  WAIT_DEFAULT,
} from "./tools.ts";

export type StdioDeps = {
  remote: Remote;
  file: TokenFile;
  /** A token that the human has given: then the file is not looked at. */
  token: string | undefined;
  onFault(error: unknown): void;
};

type Context = { deps: StdioDeps; mcpReq: ServerContext["mcpReq"]; server: McpServer };

/**
 * The server that an agent's client talks to over stdio: passes tool calls on to the service under the token that is
 * kept, and has tools of its own to come by one. It decides nothing, and needs nothing but the token.
 */
export function createStdioServer(deps: StdioDeps): McpServer {
  const parts = { version: deps.remote.version, tools: STDIO_TOOLS, instructions: STDIO_INSTRUCTIONS };
  return createToolServer(parts, async (request, { mcpReq }, server) => {
    const context = { deps, mcpReq, server };
    try {
      if (isOwnTool(request.name)) return await callOwnTool(context, request.name, request.arguments ?? {});
      if (isToolName(request.name)) return await forward(context, request);
    } catch (error) {
      if (error instanceof NoAnswer) return toRefusal(error.message);
      if (error instanceof TokenFileError) return toRefusal(`TOKEN NOT USABLE: ${error.message}`);
      if (error instanceof ProtocolError || mcpReq.signal.aborted) throw error;
      deps.onFault(error);
      return toRefusal(
        "FAULT: this program has met something unforeseen. Tell your human; its log says more.",
      );
    }
    throw unknownTool(request.name);
  });
}

async function forward({ deps, mcpReq, server }: Context, request: ToolRequest): Promise<ToolResult> {
  const { remote, file } = deps;
  const where = { url: remote.url, path: file.path };
  const kept = deps.token === undefined ? file.read() : undefined;
  const token = deps.token ?? kept?.token;
  if (token === undefined) return toRefusal(explainNoToken(where));
  const forwarded = await forwardCall(
    remote,
    token,
    request,
    { mcpReq },
    readClient(server, mcpReq).canShowPages,
  );
  if (forwarded.ok) return forwarded.result;
  if (forwarded.status !== 401) return toRefusal(explainRefusal(forwarded));
  const source = kept === undefined ? "given" : isUnclaimed(kept) ? "unclaimed" : "claimed";
  return toRefusal(explainDeadToken(where, source));
}

const validators = {
  opentrain_register_agent: compileStrict(OWN_INPUTS.opentrain_register_agent),
  opentrain_claim_account: compileStrict(OWN_INPUTS.opentrain_claim_account),
  opentrain_claim_status: compileStrict(OWN_INPUTS.opentrain_claim_status),
};

const RUNS: { [Name in OwnToolName]: (context: Context, input: OwnInput<Name>) => Promise<ToolResult> } = {
  opentrain_register_agent: async ({ deps, mcpReq, server }, { agentName, organizationName }) => {
    const name = agentName ?? readClient(server, mcpReq).name;
    const names = {
      ...(name === undefined ? {} : { agent_name: name.slice(0, 100) }),
      ...(organizationName === undefined ? {} : { organization_name: organizationName }),
    };
    return toResult(deps, await register(deps, names, mcpReq.signal));
  },
  opentrain_claim_account: async ({ deps, mcpReq, server }, { email }) => {
    const kept = deps.file.read();
    if (kept === undefined) return noToken(deps);
    if (!isUnclaimed(kept)) return toResult(deps, standingOf(kept));
    const shown = mcpReq.inputResponses?.claim;
    // The client has shown the page, and calls again: naming the human once more would send another mail.
    if (shown !== undefined) {
      return toResult(deps, await waitForClaim(deps, WAIT_DEFAULT, mcpReq.signal), notesOn(shown));
    }
    const outcome = await nameHuman(deps, kept, email, mcpReq.signal);
    const claim = outcome.ok ? outcome.standing.claim : undefined;
    if (claim?.emailSent && readClient(server, mcpReq).canShowPages) return askToOpen(claimLink(claim));
    return toResult(deps, outcome);
  },
  opentrain_claim_status: async ({ deps, mcpReq }, { waitSeconds = WAIT_DEFAULT }) =>
    deps.file.read() === undefined
      ? noToken(deps)
      : toResult(deps, await waitForClaim(deps, waitSeconds, mcpReq.signal)),
};

async function callOwnTool(context: Context, name: OwnToolName, args: object): Promise<ToolResult> {
  if (context.deps.token !== undefined) return toRefusal(TOKEN_IS_GIVEN);
  const validate = validators[name];
  if (!validate(args)) {
    const { message, details } = fromValidation(validate.errors ?? [], "arguments");
    return toRefusal(`REFUSED (BAD_REQUEST): ${message}`, `details: ${JSON.stringify(details)}`);
  }
  return RUNS[name](context, args as never);
}

function noToken({ remote, file }: StdioDeps): ToolResult {
  return toRefusal(explainNoToken({ url: remote.url, path: file.path }));
}

function toResult({ remote, file }: StdioDeps, outcome: Outcome, notes: readonly string[] = []): ToolResult {
  if (outcome.ok) {
    const { standing, replaced } = outcome;
    const replacing = replaced
      ? [`The token in ${file.path} had ended; another one, of a new account, is there now.`]
      : [];
    return toAnswer(standing, ...notes, ...replacing, explainStanding(standing));
  }
  const { refused, ended } = outcome;
  const advice = !ended
    ? ""
    : refused.error === "invalid_grant"
      ? explainLostToken({ url: remote.url, path: file.path })
      : REGISTER_AGAIN;
  return toRefusal(...notes, explainRefused(refused, advice));
}
