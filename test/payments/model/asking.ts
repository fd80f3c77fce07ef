import { call } from "../../support/fixtures.ts";
import { OPERATOR_KEY } from "../../support/service.ts";
import type { Action } from "./commands.ts";
import { pick } from "./commands.ts";
import type { Run } from "./world.ts";

type Request = {
  method?: "GET" | "POST" | "PUT";
  path: string;
  body?: unknown;
  app: 0 | 1;
  operator?: boolean;
};

/** Sends a request of the agent's or the operator's. No answer is a failure of the service's. */
async function send(run: Run, { method = "POST", path, body, app, operator = false }: Request): Promise<any> {
  const { fixture, lane } = run;
  const url = operator ? `/api/operator/v1/accounts/${fixture.account}${path}` : `/api/public/v1${path}`;
  const token = operator ? OPERATOR_KEY : fixture.token;
  const answer = await call(lane.apps[app], method, url, { token, body });
  const said = answer.body?.approval?.id ?? answer.body?.topUpId ?? answer.body?.details?.reason ?? "";
  run.note(
    `${operator ? "operator" : "agent"} ${method} ${path} ${JSON.stringify(body ?? {})} ${answer.status} ${said}`,
  );
  if (answer.status >= 500 && answer.status !== 503) throw new Error(`${answer.status} ${answer.text}`);
  const asked: unknown = answer.body?.approval?.id;
  if (typeof asked === "string" && !run.approvals.includes(asked)) run.approvals.push(asked);
  return answer.body;
}

const ASKED = ["fund", "approve", "end"] as const;

function pathOf(run: Run, verb: (typeof ASKED)[number], milestone: number): string {
  const { id, contract } = pick(run.milestones, milestone);
  return verb === "end" ? `/contracts/${contract}/end` : `/milestones/${id}/${verb}`;
}

const ask =
  (verb: (typeof ASKED)[number]): Action =>
  async (run, { milestone, app, on }) =>
    void (await send(run, { path: pathOf(run, verb, milestone), app, operator: !on }));

const withdraw: Action = async (run, { which, app, on }) => {
  if (run.approvals.length === 0) return;
  await send(run, { path: `/approvals/${pick(run.approvals, which)}/withdraw`, app, operator: !on });
};

const askTopUp: Action = async (run, { which, app }) => {
  const body = await send(run, {
    path: "/credits/top-ups",
    body: { amountUsd: 100 + 150 * (which % 3) },
    app,
  });
  if (body.topUpId) run.topUps.push(body.topUpId);
};

const adjust: Action = async (run, { which, app }) => {
  const amountCents = pick([30_000, -20_000, 45_000, -60_000], which);
  await send(run, {
    path: "/credits/adjustments",
    body: { amountCents, note: "Model" },
    app,
    operator: true,
  });
};

const cancel: Action = async (run, { milestone, app }) =>
  void (await send(run, {
    path: `/milestones/${pick(run.milestones, milestone).id}/cancel`,
    app,
    operator: true,
  }));

/** Terms: new each time, so that it is never a change to the same. Of a funded milestone only where its payee is paid. */
const changeTerms: Action = async (run, { milestone, which, app }) => {
  const { id, contract } = pick(run.milestones, milestone);
  const fresh = run.next();
  const freelancer = {
    userId: "freelancer-1",
    displayName: "Maria G.",
    payoutAccount: payoutAccount(run, which, fresh),
  };
  const [path, body] = pick(
    [
      [`/milestones/${id}`, { amountUsd: 400 + fresh }],
      [`/contracts/${contract}`, { freelancer }],
      [`/contracts/${contract}`, { freelancer }],
    ] as const,
    which,
  );
  await send(run, { method: "PUT", path, body, app, operator: true });
};

function payoutAccount({ stripe }: Run, which: number, fresh: number): string {
  const sandbox = ["timeout", "closed", "pending", "fails_later", "no_balance"].map(
    (how) => `acct_sandbox_${how}`,
  );
  if (stripe === undefined && which % 2 === 0) return pick(sandbox, which / 2);
  return stripe !== undefined && which % 4 === 0 ? "acct_1NotConnected" : `acct_1Model${fresh}`;
}

const switchSetup: Action = async (run, { on, app }) =>
  void (await send(run, {
    method: "PUT",
    path: "",
    body: { billing: on ? "credits_first" : "card" },
    app,
    operator: true,
  }));

const freeze: Action = async (run, { on, app }) =>
  void (await send(run, { method: "PUT", path: "", body: { frozen: !on }, app, operator: true }));

const pause: Action = async (run, { on, app }) => {
  await call(run.lane.apps[app], "PUT", "/api/operator/v1/pause", {
    token: OPERATOR_KEY,
    body: { paymentsPaused: !on },
  });
  run.note(`operator ${on ? "resumes" : "pauses"} payments`);
};

/** What agents and the operator do. */
export const ASKING = {
  fund: { action: ask("fund"), weight: 10 },
  release: { action: ask("approve"), weight: 8 },
  end: { action: ask("end"), weight: 4 },
  withdraw: { action: withdraw, weight: 1 },
  askTopUp: { action: askTopUp, weight: 3 },
  adjust: { action: adjust, weight: 2 },
  cancel: { action: cancel, weight: 1 },
  changeTerms: { action: changeTerms, weight: 3 },
  switchSetup: { action: switchSetup, weight: 2 },
  freeze: { action: freeze, weight: 1 },
  pause: { action: pause, weight: 1 },
};
