import type { Static } from "@sinclair/typebox";
import type { ValidateFunction } from "ajv";
import { assertAccess } from "../accounts/access-rules.ts";
import type { GateDeps } from "../accounts/gate.ts";
import { answerOnce } from "../accounts/idempotency-service.ts";
import { OPERATIONS, type Operation } from "../accounts/operations.ts";
import { describeCapabilities, describeMe, type Grant, readGrant } from "../accounts/service.ts";
import { type Approval, FUNDING_REQUESTED } from "../approvals/schemas.ts";
import {
  type ApprovalDeps,
  readApproval,
  readFunding,
  requestMilestoneFunding,
  showApproval,
} from "../approvals/service.ts";
import { createMilestone } from "../contracts/milestone-service.ts";
import type { Milestone } from "../contracts/schemas.ts";
import { getContract, listContracts } from "../contracts/service.ts";
import { readLatestCursor, readUpdates } from "../events/service.ts";
import type { Waiters, Waiting } from "../events/waiters.ts";
import { toEnvelope, toProblem } from "../http/errors.ts";
import { compileStrict, fromValidation } from "../http/validation.ts";
import { canonicalDigest } from "../lib/canonical.ts";
import { isExternalId, isUuid } from "../lib/ids.ts";
import type { RequestOrigin } from "../lib/origin.ts";
import { Problem, problemRow } from "../lib/problems.ts";
import { ACCOUNT_RUNS, type AccountCallDeps } from "./account-calls.ts";
import type { Outcome } from "./answers.ts";
import type { Caller } from "./caller.ts";
import { INPUTS, type ToolName, WAIT_DEFAULT } from "./tools.ts";

export type McpDeps = GateDeps & ApprovalDeps & AccountCallDeps & { waiters: Waiters };

export type { Caller } from "./caller.ts";

/** One request to `/mcp`. */
export type Call = {
  caller: Caller;
  requestId: string;
  origin: RequestOrigin;
  /** Calls `listener` when the caller hangs up. */
  onHangUp(listener: () => void): void;
  /** Called with an unexpected error; the caller does not see it. */
  onFault(error: unknown): void;
};

type Answer = { body: Record<string, unknown>; approval?: Approval };
type Run<Name extends ToolName> = {
  operation: Operation;
  /** @param asked the approval that this very call has asked for before its client was sent to show a link */
  run(deps: McpDeps, call: Call, input: Static<(typeof INPUTS)[Name]>, asked?: string): Promise<Answer>;
};

/** What each tool does: the gates and the services of the route of the same name, and no rule of its own. */
const RUNS: { [Name in ToolName]: Run<Name> } = {
  opentrain_auth_status: {
    operation: "getMe",
    run: async ({ db }, { caller }) => ({ body: await describeMe(db, caller) }),
  },
  opentrain_capabilities: {
    operation: "getCapabilities",
    run: async (_deps, { caller }) => ({ body: describeCapabilities(caller) }),
  },
  opentrain_list_contracts: {
    operation: "listContracts",
    run: async ({ db }, { caller }, query) => ({
      body: { contracts: await listContracts(db, caller.accountId, query) },
    }),
  },
  opentrain_get_contract: {
    operation: "getContract",
    run: async ({ db }, { caller }, { contractId }) => ({
      body: { contract: await getContract(db, caller.accountId, contractId) },
    }),
  },
  opentrain_create_milestone: {
    operation: "createMilestone",
    run: async ({ db }, { caller }, { contractId, idempotencyKey, ...asked }) => {
      const { accountId, tokenId } = caller;
      const keyed =
        idempotencyKey === undefined
          ? undefined
          : {
              accountId,
              tokenId,
              key: idempotencyKey,
              digest: canonicalDigest(["opentrain_create_milestone", contractId, asked]),
              onReplay: () => {},
            };
      const milestone = await answerOnce<Milestone>(db, keyed, (keep) =>
        createMilestone(db, accountId, contractId, asked, keep),
      );
      return { body: { milestone } };
    },
  },
  opentrain_request_milestone_funding: {
    operation: "requestMilestoneFunding",
    run: async (deps, { caller }, { milestoneId }, asked) => {
      const approval =
        asked === undefined
          ? await requestFunding(deps, caller, milestoneId)
          : await lookUpApproval(deps, caller, asked);
      return { body: { approval, message: FUNDING_REQUESTED }, approval };
    },
  },
  opentrain_get_approval: {
    operation: "getApproval",
    run: async (deps, { caller }, { approvalId }) => {
      const approval = await lookUpApproval(deps, caller, approvalId);
      return { body: { approval }, approval };
    },
  },
  opentrain_wait_for_approval: {
    operation: "getApproval",
    run: async (deps, call, { approvalId, waitSeconds = WAIT_DEFAULT }) => {
      const { accountId } = call.caller;
      const read = async () => {
        // The cursor first: whatever is decided after it wakes us, and reads the approval again.
        const nextCursor = await readLatestCursor(deps.db, accountId);
        const found = await lookUpApproval(deps, call.caller, approvalId);
        return { events: [], nextCursor, hasMore: found.status !== "pending", approval: found };
      };
      const { approval } = await deps.waiters.hold(waitingOf(deps, call, waitSeconds), {}, read);
      return { body: { approval }, approval };
    },
  },
  opentrain_poll_updates: {
    operation: "listUpdates",
    run: async (deps, call, { wait = 0, ...page }) => ({
      body: await deps.waiters.hold(waitingOf(deps, call, wait), page, (query) =>
        readUpdates(deps.db, call.caller, query),
      ),
    }),
  },
  ...ACCOUNT_RUNS,
};

const validators = new Map<string, ValidateFunction>(
  Object.entries(INPUTS).map(([name, schema]) => [name, compileStrict(schema)]),
);

/**
 * Calls a tool. Its gates come in the order of docs/contract.md §0: what stands before the request's body has passed in
 * the route; scope, feature and claim come here, then the arguments, then existence and state.
 */
export async function callTool(
  deps: McpDeps,
  call: Call,
  name: ToolName,
  args: unknown,
  asked?: string,
): Promise<Outcome> {
  try {
    const { operation, run } = RUNS[name] as Run<ToolName>;
    assertAccess(OPERATIONS[operation], call.caller, deps.config.publicUrl);
    assertArguments(name, args);
    return { ok: true, ...(await run(deps, call, args as never, asked)) };
  } catch (error) {
    const problem = toProblem(error);
    if (problem.problem === "internal_error") call.onFault(error);
    const { status } = problemRow(problem.problem);
    return { ok: false, status, envelope: toEnvelope(problem, call.requestId) };
  }
}

/** @throws Problem bad_request that names the argument */
function assertArguments(name: ToolName, args: unknown): void {
  const validate = validators.get(name);
  if (validate === undefined) throw new TypeError(`no tool is called ${name}`);
  if (!validate(args)) throw fromValidation(validate.errors ?? [], "arguments");
}

async function requestFunding(deps: McpDeps, { credential }: Caller, milestoneId: string): Promise<Approval> {
  const id = isExternalId(milestoneId) ? milestoneId : null;
  const read = async () => admit(deps, "requestMilestoneFunding", await readFunding(deps.db, credential, id));
  return requestMilestoneFunding(deps, milestoneId, await read(), read);
}

async function lookUpApproval(deps: McpDeps, caller: Caller, id: string): Promise<Approval> {
  const row = await readApproval(deps.db, caller.credential, isUuid(id) ? id : null);
  return showApproval(admit(deps, "getApproval", row), id, deps.config.publicUrl);
}

/**
 * What a look-up by the caller's token has read, where the token is still there and may still do this.
 * @throws Problem unauthorized, and those of `assertAccess`
 */
function admit<Row extends Grant>(deps: McpDeps, operation: Operation, row: Row | undefined): Row {
  if (row === undefined) throw new Problem("unauthorized");
  assertAccess(OPERATIONS[operation], row, deps.config.publicUrl);
  return row;
}

function waitingOf(deps: McpDeps, { caller, onHangUp }: Call, seconds: number): Waiting {
  const { accountId, rootTokenId, credential } = caller;
  return {
    feed: accountId,
    holder: rootTokenId,
    seconds,
    onHangUp,
    // A token keeps its scopes for as long as it lives: it is asked for itself alone.
    recheck: async () => admit(deps, "getMe", await readGrant(deps.db, credential)),
  };
}
