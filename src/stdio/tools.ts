import { type Static, Type } from "@sinclair/typebox";
import { toToolSchema } from "../mcp/tool-schema.ts";
import { INSTRUCTIONS, TOOLS, type Tool } from "../mcp/tools.ts";
import { StartedClaim } from "./token-file.ts";

export const WAIT_AT_MOST = 30;
export const WAIT_DEFAULT = 25;

const STRICT = { additionalProperties: false } as const;
const Name = (description: string) => Type.Optional(Type.String({ maxLength: 100, description }));

/** What each of this program's own tools takes. */
export const OWN_INPUTS = {
  opentrain_register_agent: Type.Object(
    {
      agentName: Name('What your human will know you by, such as "Claude Code".'),
      organizationName: Name("Whose account it is to be. Leave it out if you do not know."),
    },
    STRICT,
  ),
  opentrain_claim_account: Type.Object(
    {
      email: Type.String({
        format: "email",
        maxLength: 254,
        description: "The human's own address, as they told you. Ask for it; never guess.",
      }),
    },
    STRICT,
  ),
  opentrain_claim_status: Type.Object(
    {
      waitSeconds: Type.Optional(
        Type.Integer({
          minimum: 0,
          maximum: WAIT_AT_MOST,
          default: WAIT_DEFAULT,
          description: "How long to wait at most for the human.",
        }),
      ),
    },
    STRICT,
  ),
} as const;

export type OwnToolName = keyof typeof OWN_INPUTS;
export type OwnInput<Name extends OwnToolName> = Static<(typeof OWN_INPUTS)[Name]>;

/** How a registration stands. No token is ever in it. */
export const Standing = Type.Object({
  status: Type.Union([
    Type.Literal("unnamed"),
    Type.Literal("waiting"),
    Type.Literal("expired"),
    Type.Literal("claimed"),
  ]),
  registrationId: Type.String(),
  scopes: Type.Array(Type.String()),
  claimUntil: Type.Optional(Type.String({ description: "Until when a human can claim the account." })),
  claim: Type.Optional(StartedClaim),
});
export type Standing = Static<typeof Standing>;

const WRITES = { readOnlyHint: false, destructiveHint: false, openWorldHint: false };

const OWN_TOOLS_BY_NAME: Record<OwnToolName, Omit<Tool, "name" | "inputSchema" | "outputSchema">> = {
  opentrain_register_agent: {
    title: "Register with the service",
    description:
      "The first call where there is no token yet: registers you with the service and keeps the token that you get, so " +
      "that all other tools work from then on. You never see the token. It reads and prepares, for 24 hours, and never " +
      "moves money and requests no approval. Then ask your human for their e-mail address, and call opentrain_claim_account. " +
      "Calling it again is harmless: a registration that is still good is kept.",
    annotations: { ...WRITES, idempotentHint: true },
  },
  opentrain_claim_account: {
    title: "Ask a human to take over the account",
    description:
      "Names the human who is to take over the account that you registered. They are mailed a link, and have to type " +
      "the six digits that you are answered (`claim.userCode`): tell them the digits yourself, and that the mail comes. " +
      "On the page they say what you may do. You cannot do it for them. Then call opentrain_claim_status. Each call " +
      "sends another mail and makes the digits before worthless: call it again only with a correction, or when the " +
      "claim has expired. It never moves money.",
    annotations: { ...WRITES, idempotentHint: false },
  },
  opentrain_claim_status: {
    title: "Has the human taken over?",
    description:
      `Waits up to \`waitSeconds\` (${WAIT_DEFAULT} if you do not say) until the human has taken over the account, and ` +
      "then keeps the new token, with what they allowed (`scopes`), in place of the first one. `waiting`: humans take " +
      "minutes; call again, or go on with other work. `expired`: call opentrain_claim_account again. `unnamed`: no human " +
      "was named yet. `claimed`: go on with your work. It looks no more often than the service allows.",
    annotations: { ...WRITES, idempotentHint: true },
  },
};

export const OWN_TOOLS: readonly Tool[] = Object.entries(OWN_TOOLS_BY_NAME).map(([name, tool]) => ({
  name,
  ...tool,
  inputSchema: toToolSchema(OWN_INPUTS[name as OwnToolName]),
  outputSchema: toToolSchema(Standing),
}));

/** What this program lists: its own tools, and those of `/mcp`, which have their one definition there. */
export const STDIO_TOOLS: readonly Tool[] = [...OWN_TOOLS, ...TOOLS];

export function isOwnTool(name: string): name is OwnToolName {
  return Object.hasOwn(OWN_INPUTS, name);
}

export const STDIO_INSTRUCTIONS =
  `${INSTRUCTIONS} If a tool says that you are not registered, call opentrain_register_agent, ask your human for their ` +
  "e-mail address, name it with opentrain_claim_account, and wait with opentrain_claim_status.";
