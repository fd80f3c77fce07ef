import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import {
  acceptAt,
  answerBank,
  type Browser,
  bankIn,
  browserOf,
  decideAt,
  PASSWORD,
  readDecision,
} from "../support/visitor.ts";
import type { Dice, Tally } from "./dice.ts";

export const SANDBOX_CARDS = [
  "pm_card_visa",
  "pm_card_visa",
  "pm_sandbox_slow",
  "pm_sandbox_timeout",
  "pm_card_chargeDeclined",
  "pm_card_chargeDeclinedInsufficientFunds",
  "pm_card_authenticationRequired",
];
const OPEN_AT_MOST = 15;
const FUND_TURNS = 60;
const FUND_POLL = 1_000;

export type Deps = {
  dice: Dice;
  tally: Tally;
  operatorKey: string;
  origin: () => string;
  /** The test methods that may be put on file. */
  cards: readonly string[];
  /** What was acknowledged may be lost: it is asked for again, under the same terms. */
  losing: boolean;
};

/** An account with what its agents and people have seen. What they saw must still hold at the end. */
export type World = {
  account: string;
  token: string;
  browser: Browser;
  contract: string;
  /** What each milestone that was ever created is worth, in dollars. */
  amounts: Map<string, number>;
  /** Approvals that an agent holds a 202 for, by id, and how each ended, as far as any answer said. */
  seen: Map<string, { milestone: string; ended: string | undefined }>;
  /** The last event of the feed that was read, and the numbers of all. */
  events: number;
  told: Set<number>;
};

type Reply = { status: number; body: any };

async function send(
  { origin, tally }: Deps,
  method: string,
  path: string,
  token: string,
  body?: unknown,
): Promise<Reply> {
  const response = await fetch(origin() + path, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(15_000),
  });
  const answer = { status: response.status, body: await response.json() };
  if (response.status >= 500) tally.add(`answered ${response.status}`);
  return answer;
}

const operate = (deps: Deps, method: string, path: string, body?: unknown): Promise<Reply> =>
  send(deps, method, `/api/operator/v1${path}`, deps.operatorKey, body);

/** Makes an account with a card, a contract, an agent's token and a person who owns it. In calm weather only. */
export async function createWorld(deps: Deps): Promise<World> {
  const account = `acct-${randomBytes(4).toString("hex")}`;
  const path = `/accounts/${account}`;
  const features = { public_api_payments_write: true };
  await operate(deps, "PUT", path, { name: "Acme", claimed: true, features });
  const contract = await createContract(deps, account);
  await operate(deps, "POST", `${path}/payment-methods`, { paymentMethod: "pm_card_visa" });
  const scopes = ["payments:read", "payments:write", "proposals:read", "messages:read"];
  const minted = await operate(deps, "POST", `${path}/tokens`, { name: "Agent", scopes });
  const person = { email: `${account}@example.com`, name: "Ada", role: "owner" };
  const invited = await operate(deps, "POST", `${path}/members`, person);
  const invitation = new URL(invited.body.inviteUrl).searchParams.get("token") ?? "";
  const cookie = await acceptAt(deps.origin(), invitation);
  const browser = browserOf(deps.origin, cookie, person.email);
  return {
    account,
    token: minted.body.token,
    browser,
    contract,
    amounts: new Map(),
    seen: new Map(),
    events: 0,
    told: new Set(),
  };
}

async function createContract(deps: Deps, account: string): Promise<string> {
  const id = `contract-${randomBytes(4).toString("hex")}`;
  const freelancer = { userId: "freelancer-1", displayName: "Maria G." };
  const body = { title: "Scenes", jobId: "job-1", paymentType: "FIXED_PRICE", freelancer };
  const { status } = await operate(deps, "PUT", `/accounts/${account}/contracts/${id}`, body);
  if (status >= 300) throw new Error("no contract was made");
  return id;
}

/** Runs the clients of an account until they are told to stop. Whatever breaks under them is tried again. */
export async function runClients(deps: Deps, world: World, stopping: AbortSignal): Promise<void> {
  const clients = [actAsAgent, actAsAgent, readFeed, actAsHuman, actAsHuman, actAsOperator];
  await Promise.all(
    clients.map(async (act) => {
      while (!stopping.aborted) {
        await act(deps, world).catch((error: unknown) => noteBreak(deps, error));
        await delay(deps.dice.between(20, 250));
      }
    }),
  );
}

function noteBreak({ tally }: Deps, error: unknown): void {
  const name = error instanceof Error ? error.message : String(error);
  tally.add(name.includes("there is no ") ? "form was gone" : "request cut off");
}

const openOnes = ({ seen }: World) => [...seen].filter(([, { ended }]) => ended === undefined);

/** Asks for something new, or again for what it has asked for, or looks how that stands. */
async function actAsAgent(deps: Deps, world: World): Promise<void> {
  const { dice, tally } = deps;
  const open = openOnes(world);
  if (open.length > 0 && dice.roll() < 0.5) {
    const [id] = dice.pick(open);
    const { status, body } = await send(deps, "GET", `/approvals/${id}`, world.token);
    if (status === 200) noteState(world, id, body.approval.status, deps);
    else if (status === 404 && deps.losing) await askAgain(deps, world, id);
    else if (status < 500) tally.add(`LOST: GET of a seen approval answered ${status}`);
    return;
  }
  if (open.length >= OPEN_AT_MOST) return;
  const again = open.length > 0 && dice.roll() < 0.3;
  const milestone = again ? dice.pick(open)[1].milestone : `m-${randomBytes(5).toString("hex")}`;
  if (!again) {
    world.amounts.set(milestone, (Math.ceil(dice.between(50, 89_999)) + 100) / 100);
    if (!(await putMilestone(deps, world, milestone))) return;
  }
  await ask(deps, world, milestone);
}

async function putMilestone(deps: Deps, world: World, milestone: string): Promise<boolean> {
  const amountUsd = world.amounts.get(milestone);
  const body = { contractId: world.contract, description: "Label scenes", amountUsd };
  const path = `/accounts/${world.account}/milestones/${milestone}`;
  return (await operate(deps, "PUT", path, body)).status < 300;
}

async function ask(deps: Deps, world: World, milestone: string): Promise<number> {
  const { tally } = deps;
  const { status, body } = await send(deps, "POST", `/milestones/${milestone}/fund`, world.token);
  tally.add(`fund ${status}`);
  if (status === 202 && !world.seen.has(body.approval.id))
    world.seen.set(body.approval.id, { milestone, ended: undefined });
  return status;
}

/** What agent and operator do about an approval that they were told of and that is gone. */
async function askAgain(deps: Deps, world: World, id: string): Promise<void> {
  const milestone = world.seen.get(id)?.milestone ?? "";
  world.seen.delete(id);
  deps.tally.add("an approval was lost and asked for again");
  if (await putMilestone(deps, world, milestone)) await ask(deps, world, milestone);
}

/**
 * What agent, operator and person do once all is calm: each milestone that was ever there is asked for and confirmed, until it
 * is funded, so that every charge that was lost must be found.
 */
export async function fundEverything(deps: Deps, world: World): Promise<string[]> {
  const { account, browser, token } = world;
  const card = { paymentMethod: "pm_card_visa" };
  await operate(deps, "POST", `/accounts/${account}/payment-methods`, card);
  const unfunded: string[] = [];
  for (const milestone of world.amounts.keys()) {
    await putMilestone(deps, world, milestone);
    const path = `/accounts/${account}/milestones/${milestone}`;
    let last = "";
    let said = "";
    const isFunded = async () => {
      const { status, body } = await operate(deps, "GET", path);
      last = status === 200 ? body.milestone.status : `${status} ${JSON.stringify(body)}`;
      return last === "ACTIVE_FUNDED";
    };
    for (let turn = 1; turn <= FUND_TURNS && !(await isFunded()); turn++) {
      const { status: answered, body } = await send(deps, "POST", `/milestones/${milestone}/fund`, token);
      said = `${answered} ${JSON.stringify(body)}`;
      if (answered !== 202) {
        // It may have been lost after all.
        await putMilestone(deps, world, milestone);
        await delay(FUND_POLL);
        continue;
      }
      const approval = `/approvals/${body.approval.id}`;
      const page = await browser.open(approval);
      if (bankIn(page.text) !== "") await answerBank(browser, approval, "give-up");
      else if (page.text.includes(`${approval}/confirm`))
        said += ` confirm ${await decide(browser, approval, "confirm").catch(String)}`;
      else await delay(FUND_POLL);
    }
    if (!(await isFunded())) unfunded.push(`${milestone} could not be funded at the end: ${last}, ${said}`);
  }
  return unfunded;
}

/** Decides, with the password where the page asks for it. */
async function decide(browser: Browser, path: string, decision: "confirm" | "decline"): Promise<number> {
  const { status, headers } = await decideAt(browser, path, decision);
  const turnedBack = (headers["set-cookie"] as string[]).some((line) => line.startsWith("countersign-said="));
  if (!turnedBack || !(await browser.open(path)).text.includes('name="password"')) return status;
  const fields = await readDecision(browser, path, decision);
  return (await browser.submit(`${path}/${decision}`, { ...fields, password: PASSWORD })).status;
}

function noteState({ seen }: World, id: string, status: string, { tally, losing }: Deps): void {
  const known = seen.get(id);
  if (known === undefined || status === "pending") return;
  if (known.ended !== undefined && known.ended !== status && !losing)
    tally.add(`CHANGED: an approval was ${known.ended}, then ${status}`);
  known.ended = status;
}

/** Follows the feed: each event once, in order. At the end all that were told are compared with the database. */
async function readFeed(deps: Deps, world: World): Promise<void> {
  const path = `/updates?limit=200&cursor=${world.events}`;
  const { status, body } = await send(deps, "GET", path, world.token);
  if (status >= 400 && status < 500)
    deps.tally.add(`GAP: the feed refused a cursor that it had given, ${status}`);
  if (status !== 200) return;
  for (const { id, type, data } of body.events) {
    // Events that only the operator reads have numbers too, so the next one may be further on.
    if (Number(id) <= world.events) deps.tally.add("GAP: the feed told an event twice, or out of order");
    world.events = Number(id);
    world.told.add(world.events);
    if (type === "approval.confirmed") noteState(world, data.approvalId, data.status, deps);
  }
}

/** Opens an approval and decides; where the bank asks, passes, fails, gives up, or walks away. */
async function actAsHuman(deps: Deps, { browser, ...world }: World): Promise<void> {
  const { dice, tally } = deps;
  const open = openOnes({ browser, ...world });
  if (open.length === 0) return;
  const path = `/approvals/${dice.pick(open)[0]}`;
  const page = await browser.open(path);
  if (bankIn(page.text) !== "") {
    if (dice.roll() < 0.3) return;
    const answer = dice.pick(["pass", "fail", "give-up"] as const);
    tally.add(`bank ${answer} ${(await answerBank(browser, path, answer))?.status ?? "too late"}`);
  } else if (page.text.includes(`${path}/confirm`)) {
    const decision = dice.roll() < 0.85 ? "confirm" : "decline";
    tally.add(`${decision} ${await decide(browser, path, decision)}`);
  }
}

/** Puts another card on file, changes terms, cancels, or ends the contract and begins another. */
async function actAsOperator(deps: Deps, world: World): Promise<void> {
  const { dice, tally } = deps;
  const path = `/accounts/${world.account}`;
  const open = openOnes(world);
  const chance = dice.roll();
  if (chance < 0.4) {
    const paymentMethod = dice.pick(deps.cards);
    const { status } = await operate(deps, "POST", `${path}/payment-methods`, { paymentMethod });
    tally.add(`card ${paymentMethod} ${status}`);
  } else if (deps.losing) {
    // Under other terms a charge that was lost would wait for a person.
  } else if (chance < 0.6 && open.length > 0) {
    const amountUsd = Math.ceil(dice.between(100, 9_999)) / 100;
    const { milestone } = dice.pick(open)[1];
    const { status, body } = await operate(deps, "PUT", `${path}/milestones/${milestone}`, { amountUsd });
    tally.add(`terms ${status} ${body.details?.reason ?? ""}`);
  } else if (chance < 0.75 && open.length > 0) {
    const { milestone } = dice.pick(open)[1];
    const { status, body } = await operate(deps, "POST", `${path}/milestones/${milestone}/cancel`);
    tally.add(`cancel ${status} ${body.details?.reason ?? ""}`);
  } else if (chance < 0.8) {
    // The next one is there first: one that died with its answer is not missed.
    const next = await createContract(deps, world.account);
    const ended = { status: "ended" };
    const { status, body } = await operate(deps, "PUT", `${path}/contracts/${world.contract}`, ended);
    tally.add(`end ${status} ${body.details?.reason ?? ""}`);
    if (status === 200) world.contract = next;
  }
}
