import { type Static, Type } from "@sinclair/typebox";
import type { FastifyReply, FastifyRequest } from "fastify";
import {
  type ContractMoney,
  listContractsForHuman,
  readContractForHuman,
} from "../../approvals/contract-money-service.ts";
import {
  type Requester,
  requestEndInPerson,
  requestFundingInPerson,
  requestReleaseInPerson,
} from "../../approvals/person-request-service.ts";
import type { RequestDeps } from "../../approvals/request-service.ts";
import type { App } from "../../http/app.ts";
import { originOf } from "../../http/origin.ts";
import { notFound, Problem, problemRow } from "../../lib/problems.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import { formToken } from "../../sign-in/form-token.ts";
import { type Human, openSessionGate } from "../../sign-in/gate.ts";
import { accountOf, manages } from "../kit/memberships.ts";
import { show } from "../kit/site.ts";
import { type ContractForms, contractPage, endPage } from "./contract-page.ts";
import { CONTRACTS, contractPath, contractsPage, readPoint } from "./contracts-page.ts";
import { paymentsCsvRoute } from "./payments-csv-routes.ts";
import { contractProblem } from "./problem-words.ts";

const PAGE = 50;

const ContractParams = Type.Object({ contractId: Type.String() });
const MilestoneParams = Type.Object({ contractId: Type.String(), milestoneId: Type.String() });
// Lenient: a query that cannot be read shows what there is without it.
const ListQuery = Type.Object({ after: Type.Optional(Type.Unsafe<unknown>({})) });
const Query = Type.Object({
  account: Type.Optional(Type.Unsafe<unknown>({})),
  said: Type.Optional(Type.Unsafe<unknown>({})),
});
const Form = Type.Object(
  {
    account_id: Type.String({ pattern: "^[0-9a-f-]{36}$" }),
    form_token: Type.String({ maxLength: 100 }),
  },
  { additionalProperties: false },
);

const PURPOSES = {
  fund: (accountId: string, milestoneId: string) => `contract:fund:${accountId}:${milestoneId}`,
  release: (accountId: string, milestoneId: string) => `contract:release:${accountId}:${milestoneId}`,
  end: (accountId: string, contractId: string) => `contract:end:${accountId}:${contractId}`,
};

type Deps = SessionDeps & RequestDeps;

/**
 * `/contracts` (docs/contract.md §8): members see their contracts. Owners and approvers request fundings, releases and ends, and
 * confirm on the approval's page.
 */
export function contractRoutes(app: App, deps: Deps): void {
  const pages = openSessionGate(deps);

  app.get(
    CONTRACTS,
    { ...pages.options, schema: { ...pages.options.schema, querystring: ListQuery } },
    async (request, reply) => {
      const human = pages.human(request);
      const accountIds = human.memberships.map(({ accountId }) => accountId);
      const after = readPoint(request.query.after);
      const known = after !== undefined && accountIds.includes(after.accountId) ? after : undefined;
      const page = await listContractsForHuman(deps.db, accountIds, { after: known, limit: PAGE });
      return show(deps, reply, contractsPage({ ...page, accounts: human.memberships }), { human });
    },
  );

  app.get(
    `${CONTRACTS}/:contractId`,
    { ...pages.options, schema: { ...pages.options.schema, params: ContractParams, querystring: Query } },
    async (request, reply) => {
      const human = pages.human(request);
      const contract = await findOwn(deps, human, request.params.contractId, request.query.account);
      const ended = request.query.said === "ended" && contract.status === "ended";
      const page = contractPage({ contract, forms: formsOf(deps, human, contract), ended });
      return show(deps, reply, page, { human });
    },
  );

  app.get(
    `${CONTRACTS}/:contractId/end`,
    { ...pages.options, schema: { ...pages.options.schema, params: ContractParams, querystring: Query } },
    async (request, reply) => {
      const human = pages.human(request);
      const contract = await findOwn(deps, human, request.params.contractId, request.query.account);
      const forms = formsOf(deps, human, contract);
      if (forms === undefined) throw new Problem("not_permitted");
      return show(deps, reply, endPage(contract, forms.end), { human });
    },
  );

  milestoneRoute(app, deps, "fund", requestFundingInPerson);
  milestoneRoute(app, deps, "release", requestReleaseInPerson);
  endRoute(app, deps);
  paymentsCsvRoute(app, deps);
}

/** Requests a milestone's funding or release, and leads to the approval's page, where the person confirms. */
function milestoneRoute(
  app: App,
  deps: Deps,
  act: "fund" | "release",
  request: typeof requestFundingInPerson,
): void {
  const gate = openSessionGate(deps, {
    purpose: ({ params, body }) =>
      PURPOSES[act](
        (body as Static<typeof Form>).account_id,
        (params as Static<typeof MilestoneParams>).milestoneId,
      ),
    returnTo: contractOf,
  });
  app.post(
    `${CONTRACTS}/:contractId/milestones/:milestoneId/${act}`,
    { ...gate.options, schema: { ...gate.options.schema, params: MilestoneParams, body: Form } },
    async (incoming, reply) => {
      const human = gate.human(incoming);
      return answer(deps, incoming, reply, human, async (requester) => {
        const { id } = await request(deps, requester, incoming.params.milestoneId);
        return `/approvals/${id}`;
      });
    },
  );
}

/** Ends a contract at once, or requests its end, and leads to the approval's page. */
function endRoute(app: App, deps: Deps): void {
  const gate = openSessionGate(deps, {
    purpose: ({ params, body }) =>
      PURPOSES.end(
        (body as Static<typeof Form>).account_id,
        (params as Static<typeof ContractParams>).contractId,
      ),
    returnTo: contractOf,
  });
  app.post(
    `${CONTRACTS}/:contractId/end`,
    { ...gate.options, schema: { ...gate.options.schema, params: ContractParams, body: Form } },
    async (request, reply) => {
      const { contractId: id } = request.params;
      return answer(deps, request, reply, gate.human(request), async (requester) => {
        const ended = await requestEndInPerson(deps, requester, id);
        return "approval" in ended
          ? `/approvals/${ended.approval.id}`
          : `${contractPath({ accountId: requester.accountId, id })}&said=ended`;
      });
    },
  );
}

/**
 * Runs a request and redirects to where it leads. A rejected one shows the contract as it is now, and what is missing.
 * @throws Problem not_found, not_permitted, and what is not about the contract
 */
async function answer(
  deps: Deps,
  request: FastifyRequest,
  reply: FastifyReply,
  human: Human,
  work: (requester: Requester) => Promise<string>,
): Promise<FastifyReply> {
  const { accountId } = accountOf(human, (request.body as Static<typeof Form>).account_id);
  const requester = { accountId, actor: human, name: human.name, origin: originOf(request) };
  try {
    return reply.redirect(await work(requester), 303);
  } catch (error) {
    const words = error instanceof Problem ? contractProblem(error) : undefined;
    if (!(error instanceof Problem) || words === undefined) throw error;
    const { contractId } = request.params as Static<typeof ContractParams>;
    const contract = await findOwn(deps, human, contractId, accountId);
    const wait = error.details?.retryAfterSeconds;
    if (typeof wait === "number") reply.header("retry-after", wait);
    const page = contractPage({ contract, forms: formsOf(deps, human, contract), problem: words });
    return show(deps, reply, page, { human, status: problemRow(error.problem).status });
  }
}

/**
 * The contract of that id in the named account, or in the first of the person's accounts that has one.
 * @throws Problem not_found, for an account that is not theirs too
 */
async function findOwn(deps: Deps, human: Human, id: string, account: unknown): Promise<ContractMoney> {
  const all = human.memberships.map(({ accountId }) => accountId);
  const named = typeof account === "string" ? all.filter((accountId) => accountId === account) : all;
  const contract = await readContractForHuman(deps.db, named, id);
  if (contract === undefined) throw notFound("contracts", "contractId", id);
  return contract;
}

function formsOf({ keys }: Deps, human: Human, { accountId, id }: ContractMoney): ContractForms | undefined {
  if (!manages(accountOf(human, accountId))) return undefined;
  const token = (purpose: string) => formToken(keys, human, purpose);
  return {
    fund: (milestoneId) => token(PURPOSES.fund(accountId, milestoneId)),
    release: (milestoneId) => token(PURPOSES.release(accountId, milestoneId)),
    end: token(PURPOSES.end(accountId, id)),
  };
}

/** Where a person comes back to who had to sign in before. */
function contractOf({ params }: FastifyRequest): string {
  return `${CONTRACTS}/${encodeURIComponent((params as Static<typeof ContractParams>).contractId)}`;
}
