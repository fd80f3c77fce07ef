import { Type } from "@sinclair/typebox";
import type { FastifyReply } from "fastify";
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
import { notFound, Problem } from "../../lib/problems.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import { formToken } from "../../sign-in/form-token.ts";
import type { Human } from "../../sign-in/gate.ts";
import { accountOf, manages } from "../kit/memberships.ts";
import { type Answer, type Asked, personForm, personPage, UUID } from "../kit/person-routes.ts";
import { leadTo, takeSaid } from "../kit/said.ts";
import { show } from "../kit/site.ts";
import { type ContractForms, contractPage, endPage } from "./contract-page.ts";
import { CONTRACTS, contractPath, contractsPage, readPoint } from "./contracts-page.ts";
import { paymentsCsvRoute } from "./payments-csv-routes.ts";
import { contractProblem } from "./problem-words.ts";

const PAGE = 50;

const PARAMS = { contractId: Type.String() };
const MILESTONE_PARAMS = { ...PARAMS, milestoneId: Type.String() };
const FIELDS = { account_id: UUID };

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
  personPage(app, deps, CONTRACTS, async ({ human, query }, reply) => {
    const accountIds = human.memberships.map(({ accountId }) => accountId);
    const after = readPoint(query.after);
    const known = after !== undefined && accountIds.includes(after.accountId) ? after : undefined;
    const page = await listContractsForHuman(deps.db, accountIds, { after: known, limit: PAGE });
    return show(deps, reply, contractsPage({ ...page, accounts: human.memberships }), { human });
  });

  const path = `${CONTRACTS}/:contractId`;
  const one: Answer<typeof PARAMS> = async ({ human, params, query, request }, reply) => {
    const contract = await findOwn(deps, human, params.contractId, query.account);
    const ended = query.said === "ended" && contract.status === "ended";
    const said = takeSaid(deps, request, reply, human);
    const problem = said?.problem && contractProblem(said.problem);
    const page = contractPage({ contract, forms: formsOf(deps, human, contract), problem, ended });
    return show(deps, reply, page, { human, said: problem === undefined ? said : undefined });
  };
  personPage(app, deps, path, one, PARAMS);

  const end: Answer<typeof PARAMS> = async ({ human, params, query }, reply) => {
    const contract = await findOwn(deps, human, params.contractId, query.account);
    const forms = formsOf(deps, human, contract);
    if (forms === undefined) throw new Problem("not_permitted");
    return show(deps, reply, endPage(contract, forms.end), { human });
  };
  personPage(app, deps, `${path}/end`, end, PARAMS);

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
  const form = personForm(app, deps, {
    params: MILESTONE_PARAMS,
    fields: FIELDS,
    purpose: ({ params, body }) => PURPOSES[act](body.account_id, params.milestoneId),
    returnTo: pathOf,
  });
  form(`${CONTRACTS}/:contractId/milestones/:milestoneId/${act}`, (asked, reply) =>
    answer(deps, asked, reply, async (requester) => {
      const { id } = await request(deps, requester, asked.params.milestoneId);
      return `/approvals/${id}`;
    }),
  );
}

/** Ends a contract at once, or requests its end, and leads to the approval's page. */
function endRoute(app: App, deps: Deps): void {
  const form = personForm(app, deps, {
    params: PARAMS,
    fields: FIELDS,
    purpose: ({ params, body }) => PURPOSES.end(body.account_id, params.contractId),
    returnTo: pathOf,
  });
  form(`${CONTRACTS}/:contractId/end`, (asked, reply) => {
    const { contractId: id } = asked.params;
    return answer(deps, asked, reply, async (requester) => {
      const ended = await requestEndInPerson(deps, requester, id);
      return "approval" in ended
        ? `/approvals/${ended.approval.id}`
        : `${contractPath({ accountId: requester.accountId, id })}&said=ended`;
    });
  });
}

/**
 * Runs a request and leads to its approval. A rejected one leads back to the contract, which says what is missing.
 * @throws Problem not_found, not_permitted, and what is not about the contract
 */
async function answer(
  deps: Deps,
  { human, params, body, request }: Asked<typeof PARAMS, typeof FIELDS>,
  reply: FastifyReply,
  work: (requester: Requester) => Promise<string>,
): Promise<FastifyReply> {
  const { accountId } = accountOf(human, body.account_id);
  const requester = { accountId, actor: human, name: human.name, origin: originOf(request) };
  try {
    return reply.redirect(await work(requester), 303);
  } catch (error) {
    if (!(error instanceof Problem) || contractProblem(error.problem) === undefined) throw error;
    const { problem, message } = error;
    const address = contractPath({ accountId, id: params.contractId });
    return leadTo(deps, reply, human, address, { problem, message });
  }
}

/**
 * The contract of that id in the named account, or in the first of the person's accounts that has one.
 * @throws Problem not_found, for an account that is not theirs too
 */
async function findOwn(
  deps: Deps,
  human: Human,
  id: string,
  account: string | undefined,
): Promise<ContractMoney> {
  const all = human.memberships.map(({ accountId }) => accountId);
  const named = account === undefined ? all : all.filter((accountId) => accountId === account);
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

function pathOf({ contractId }: { contractId: string }): string {
  return `${CONTRACTS}/${encodeURIComponent(contractId)}`;
}
