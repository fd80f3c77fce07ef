import fc from "fast-check";
import { expect, test } from "vitest";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { SCOPES } from "../../src/lib/scopes.ts";
import { endTokens } from "../http/rows.ts";
import { findFaults } from "../support/books.ts";
import { PAYOUT_ACCOUNT, setPayoutAccount } from "../support/escrow.ts";
import {
  type Answer,
  call,
  createFixture,
  createMilestone,
  type Fixture,
  type FixtureOptions,
  fund,
  operate,
} from "../support/fixtures.ts";
import { createHuman } from "../support/humans.ts";
import { count } from "../support/long.ts";
import { declineNow } from "../support/receipts.ts";
import { OPERATOR_KEY, startService } from "../support/service.ts";
import { ask, confirmNow } from "../support/stories.ts";
import { Description } from "./description.ts";
import { type Operation, type Part, type Plan, planOf, type Sender } from "./requests.ts";

// A run is repeated by its seed: FUZZ_SEED=… npm run test:long test/fuzz
const REQUESTS = Number(process.env.FUZZ_REQUESTS ?? count(250, 20_000));
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);
/** How much of a request and its answer is shown. */
const SHOWN = 1_500;
const TIMEOUT = 60_000 + REQUESTS * 50;

const PREFIX = "/api/public/v1";
const { app, db, config } = await startService({ TRUST_PROXY: "1" });
const description = new Description((await call(app, "GET", `${PREFIX}/openapi.json`)).body);

const OPTIONS: Partial<Record<Sender, FixtureOptions>> = {
  owner: {
    features: { public_api_payments_write: true, public_api_credits: true, public_api_webhooks: true },
  },
  reader: { scopes: SCOPES.filter((scope) => scope.endsWith(":read")) },
  unclaimed: { claimed: false },
  cardless: { card: false },
  revoked: {},
};

const CONTRACT = {
  title: "Old scenes",
  jobId: "job-old",
  paymentType: "FIXED_PRICE",
  freelancer: { userId: "f-1", displayName: "Maria G.", country: null, profilePath: null },
};

/** What the senders have, by the name of the path parameter that asks for it. */
type Things = Record<string, string[]>;
type World = { fixtures: Map<Sender, Fixture>; things: Map<Sender, Things>; foreign: Things };

async function createWorld(): Promise<World> {
  const world: World = { fixtures: new Map(), things: new Map(), foreign: {} };
  for (const sender of Object.keys(OPTIONS) as Sender[]) await settle(world, sender);
  world.foreign = (await begin({})).things;
  return world;
}

async function settle(world: World, sender: Sender): Promise<void> {
  const { fixture, things } = await begin(OPTIONS[sender] ?? {});
  if (sender === "revoked") await endTokens(db, fixture, "revoked");
  world.fixtures.set(sender, fixture);
  world.things.set(sender, things);
}

async function begin(options: FixtureOptions): Promise<{ fixture: Fixture; things: Things }> {
  const fixture = await createFixture(app, options);
  const things: Things = { contractId: [fixture.contract], milestoneId: [fixture.milestone] };
  // First: a change of the payee ends what is pending.
  if (options.features?.public_api_credits) await setPayoutAccount(app, fixture, PAYOUT_ACCOUNT);
  note(things, (await fund(app, fixture.token, fixture.milestone)).body);
  if (options.features?.public_api_credits) {
    await addDeclined(fixture, things);
    await addFunded(fixture, things);
  }
  await addEnded(fixture, things);
  if (options.features?.public_api_webhooks) await addWebhook(fixture, things);
  return { fixture, things };
}

/** What people have decided in the preparation. No request decides anything. */
const decided: string[] = [];

/** A declined approval: it has a receipt. */
async function addDeclined(fixture: Fixture, things: Things): Promise<void> {
  await createHuman(app, fixture.account);
  const milestone = `${fixture.milestone}-declined`;
  await createMilestone(app, fixture, milestone);
  const story = await ask(app, fixture, milestone);
  await declineNow({ db, config }, story);
  things.approvalId?.push(story.approvalId);
  decided.push(story.approvalId);
}

/** A funded milestone, whose release can be requested. */
async function addFunded(fixture: Fixture, things: Things): Promise<void> {
  const milestone = `${fixture.milestone}-funded`;
  await createMilestone(app, fixture, milestone);
  const story = await ask(app, fixture, milestone);
  await confirmNow({ db, config, processor: createSandbox(db, config.publicUrl) }, story);
  things.milestoneId?.push(milestone);
  decided.push(story.approvalId);
}

/** The first of its webhooks, with deliveries. */
async function addWebhook({ account, token }: Fixture, things: Things): Promise<void> {
  const body = { url: "https://example.com/hooks", eventTypes: ["message.received"] };
  const { id } = (await call(app, "POST", `${PREFIX}/webhooks`, { token, body })).body.webhook;
  await operate(app, "POST", `/accounts/${account}/events`, { type: "message.received", resourceId: "r-1" });
  const { deliveries } = (await call(app, "GET", `${PREFIX}/webhooks/${id}/deliveries`, { token })).body;
  things.webhookId = [id, ...(things.webhookId ?? [])];
  things.deliveryId = deliveries.map((delivery: { id: string }) => delivery.id);
}

/** A cancelled milestone, and one under a contract that has ended: there is more than one way to be refused. */
async function addEnded(fixture: Fixture, things: Things): Promise<void> {
  const { account } = fixture;
  const ended = { ...fixture, contract: `${fixture.contract}-ended` };
  const put = (values: object) =>
    operate(app, "PUT", `/accounts/${account}/contracts/${ended.contract}`, values);
  await put(CONTRACT);
  for (const [of, id] of [
    [fixture, `${fixture.milestone}-cancelled`],
    [ended, `${fixture.milestone}-ended`],
  ] as const) {
    await createMilestone(app, of, id);
    things.milestoneId?.push(id);
  }
  await operate(app, "POST", `/accounts/${account}/milestones/${fixture.milestone}-cancelled/cancel`);
  await put({ status: "ended" });
  things.contractId?.push(ended.contract);
}

/** Remembers the ids in an answer, under the names by which paths ask for them. */
function note(things: Things, body: unknown, under = ""): void {
  if (typeof body !== "object" || body === null) return;
  for (const [key, value] of Object.entries(body)) {
    if (key === "id" && typeof value === "string")
      things[`${under}Id`] = [...(things[`${under}Id`] ?? []), value];
    else
      note(
        things,
        value,
        /^\d+$/.test(key) ? under : key === "metadata" ? "token" : key.replace(/ies$/, "y").replace(/s$/, ""),
      );
  }
}

function addressOf({ path }: Operation, { sender, parts, query }: Plan, world: World): string {
  const own = world.things.get(sender) ?? {};
  const filled = path.replaceAll(/\{([^}]+)\}/g, (_all, name: string) =>
    encode(idOf(name, parts[name], own, world.foreign)),
  );
  const asked = query.map(([name, value]) => `${encode(name)}=${encode(keepWaitShort(name, value))}`);
  return asked.length === 0 ? filled : `${filled}?${asked.join("&")}`;
}

function idOf(name: string, part: Part | undefined, own: Things, foreign: Things): string {
  if (part !== undefined && "text" in part) return part.text;
  const from = (part !== undefined && "foreign" in part ? foreign : own)[name] ?? [];
  const index = part !== undefined && "known" in part ? part.known % Math.max(1, from.length) : 0;
  return from[index] ?? "none";
}

/** Not to wait 30 s for the 500th time. */
const keepWaitShort = (name: string, value: string) =>
  name === "wait" && Number(value) > 1 && Number(value) <= 30 ? "1" : value;

/** Percent-encoding, that of half a surrogate pair included, which is not valid UTF-8. */
const encode = (text: string) => (text.isWellFormed() ? encodeURIComponent(text) : "%ED%A0%80");

async function send(operation: Operation, plan: Plan, world: World): Promise<Answer> {
  const tokens: Partial<Record<Sender, string | undefined>> = {
    nobody: undefined,
    nonsense: "ot_pat_x",
    operator: OPERATOR_KEY,
  };
  const token = plan.sender in tokens ? tokens[plan.sender] : world.fixtures.get(plan.sender)?.token;
  const response = await app.inject({
    method: operation.method.toUpperCase() as "GET",
    url: addressOf(operation, plan, world),
    headers: { ...plan.headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
    ...(plan.payload === undefined ? {} : { payload: plan.payload }),
  });
  const json =
    String(response.headers["content-type"]).startsWith("application/json") && response.body !== "";
  return {
    status: response.statusCode,
    headers: response.headers,
    text: response.body,
    body: json ? response.json() : undefined,
  };
}

/** What succeeds only with the claim token of a registration, and once its person has acted: test/agent-auth has those. */
const BY_A_CLAIM = new Set(["/api/agent/identity/claim", "/api/agent/oauth/token"]);

test(`no request of ${REQUESTS} gets a 500, or an answer that the OpenAPI document does not describe`, {
  timeout: TIMEOUT,
}, async () => {
  console.log(`fuzzing ${description.operations.length} operations, FUZZ_SEED=${SEED}`);
  const world = await createWorld();
  const plans = description.operations.map((operation) =>
    planOf(operation).map((plan) => ({ operation, plan })),
  );
  const counts = new Map<string, number>();
  const found = new Map<string, string>();
  for (const { operation, plan } of fc.sample(fc.oneof(...plans), { seed: SEED, numRuns: REQUESTS })) {
    const { method, path } = operation;
    const answer = await send(operation, plan, world);
    const key = `${method} ${path} ${answer.status}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
    for (const fault of description.faultsOf(operation, answer)) {
      const sent = `${addressOf(operation, plan, world)} ${JSON.stringify(plan)} → ${answer.text}`;
      if (!found.has(`${method} ${path}: ${fault}`))
        found.set(`${method} ${path}: ${fault}`, sent.slice(0, SHOWN));
    }
    const own = world.things.get(plan.sender);
    if (own !== undefined && answer.status < 300) note(own, answer.body);
    if (method === "delete" && path.includes("webhook") && answer.status === 200)
      await settle(world, plan.sender);
    // It has revoked its own token; the others would all be 401 from here on.
    if (answer.status === 401 && plan.sender in OPTIONS && plan.sender !== "revoked")
      await settle(world, plan.sender);
  }
  console.log(
    [...counts]
      .sort()
      .map(([key, count]) => `${count} × ${key}`)
      .join("\n"),
  );
  expect(Object.fromEntries(found)).toEqual({});

  // By so many each has been reached.
  for (const { method, path } of REQUESTS < 10_000 ? [] : description.operations) {
    if (BY_A_CLAIM.has(path)) continue;
    const succeeded = [...counts.keys()].some((key) => key.startsWith(`${method} ${path} 2`));
    expect(succeeded, `${method} ${path} has succeeded at least once`).toBe(true);
  }
  expect(await findFaults(db)).toEqual([]);
  const ended = db.selectFrom("approvals").where("status", "in", ["confirmed", "declined"]).select("id");
  expect((await ended.execute()).map(({ id }) => id).sort()).toEqual(decided.sort());
});
