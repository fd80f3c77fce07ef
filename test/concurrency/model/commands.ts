import { setTimeout as delay, setImmediate as turn } from "node:timers/promises";
import * as fc from "fast-check";
import { sweepExpiredApprovals } from "../../../src/approvals/jobs.ts";
import { readClock } from "../../../src/database/clock.ts";
import type { Event } from "../../../src/events/schemas.ts";
import type { Answer } from "../../support/fixtures.ts";
import { MARIA } from "../../support/fixtures.ts";
import { type Interval, Register } from "./history.ts";
import { type Client, type Run, SHORT_LIFE } from "./run.ts";

type Fields = { milestone: number; which: number; limit: number; on: boolean; app: 0 | 1 };
type Action = (run: Run, client: Client, fields: Fields) => Promise<void>;
export type Command = Fields & { name: string; late: number };

const pick = <T>(list: readonly T[], n: number): T => {
  const item = list[n % list.length];
  if (item === undefined) throw new TypeError("nothing to pick from");
  return item;
};
const milestoneOf = (run: Run, n: number) => pick(run.world.milestones, n);
const registerOf = <T>(registers: Map<string, Register<T>>, id: string): Register<T> => {
  const register = registers.get(id);
  if (register === undefined) throw new TypeError(`nothing is known of ${id}`);
  return register;
};

function assertAllowed(allowed: boolean, what: string, answer: Answer): void {
  if (!allowed) throw new Error(`${answer.status} ${answer.text}, but this cannot be: ${what}`);
}

function unexpected(answer: Answer): Error {
  return new Error(`unexpected answer ${answer.status} ${answer.text}`);
}

/** Checks a 401, or that there is none; `false` when that was the answer. */
function passes(token: Run["tokens"][number], answer: Answer, during: Interval): boolean {
  assertAllowed(token.revoked.allows(answer.status === 401, during), "the token's state", answer);
  if (answer.status === 401)
    assertAllowed("www-authenticate" in answer.headers, "a 401 without WWW-Authenticate", answer);
  return answer.status !== 401;
}

/** The gates of a fund request in their order: the answer names the first that fails. */
const fund: Action = async (run, _client, { milestone: n, which, app }) => {
  const { id, contract } = milestoneOf(run, n);
  const token = pick(run.tokens, which);
  const { answer, during } = await run.send(app, "POST", `/milestones/${id}/fund`, { token: token.value });
  if (!passes(token, answer, during)) return;
  run.services.funds.asked += 1;
  if (answer.status === 503) {
    run.services.funds.outrun += 1;
    return;
  }
  const { details, approval } = answer.body;
  const reason: string | undefined = details?.reason ?? details?.featureKey;
  const gate = (name: string, fails: boolean, allows: (failing: boolean) => boolean): boolean => {
    assertAllowed(allows(fails), name, answer);
    return fails;
  };
  const key = "public_api_payments_write";
  if (gate("feature", reason === key, (off) => run.feature.allows(!off, during))) return;
  const ended = registerOf(run.ended, contract);
  if (gate("contract", reason === "contract_ended", (yes) => ended.allows(yes, during))) return;
  const cancelled = registerOf(run.cancelled, id);
  if (gate("milestone", reason === "milestone_cancelled", (yes) => cancelled.allows(yes, during))) return;
  const cards = (none: boolean) =>
    none
      ? run.cards.every((card) => card.onFile.allows(false, during))
      : run.cards.some((card) => card.onFile.allows(true, during));
  if (gate("card", reason === "payment_method_required", cards)) return;
  if (answer.status !== 202 || approval.milestoneId !== id || approval.status !== "pending")
    throw unexpected(answer);
  run.sights.push({ ...approval, ...during, milestone: id });
  const life = Date.parse(approval.expiresAt) - Date.parse(approval.createdAt);
  if (life <= SHORT_LIFE) run.expiring.push(approval);
};

const read: Action = async (run, _client, { which, app }) => {
  const known = [...new Set(run.sights.map((sight) => sight.id))];
  if (known.length === 0) return;
  const token = pick(run.tokens, which);
  const { answer, during } = await run.send(app, "GET", `/approvals/${pick(known, which)}`, {
    token: token.value,
  });
  if (!passes(token, answer, during)) return;
  if (answer.status !== 200) throw unexpected(answer);
  const { approval } = answer.body;
  run.sights.push({ ...approval, ...during, milestone: approval.milestoneId });
};

/** Reads one page on from the client's cursor. */
export async function follow(
  run: Run,
  client: Client,
  { limit, which, app }: Pick<Fields, "limit" | "which" | "app">,
): Promise<void> {
  const token = pick(run.tokens, which);
  const path = `/updates?cursor=${client.cursor}&limit=${limit}`;
  const { answer, during } = await run.send(app, "GET", path, { token: token.value });
  if (!passes(token, answer, during)) return;
  if (answer.status !== 200) throw unexpected(answer);
  for (const event of answer.body.events as Event[]) {
    client.events.push(event);
    if (event.type === "approval.confirmed")
      run.sights.push({ id: event.resourceId, status: String(event.data.status), ...during });
  }
  client.cursor = answer.body.nextCursor;
}

const cancel: Action = async (run, _client, { milestone: n, app }) => {
  const { id } = milestoneOf(run, n);
  const answer = await run.set(registerOf(run.cancelled, id), true, () =>
    run.operate(app, "POST", `/milestones/${id}/cancel`),
  );
  if (answer.status !== 200) throw unexpected(answer);
};

const end: Action = async (run, _client, { milestone: n, app }) => {
  const { contract } = milestoneOf(run, n);
  const answer = await run.set(registerOf(run.ended, contract), true, () =>
    run.operate(app, "PUT", `/contracts/${contract}`, { status: "ended" }),
  );
  if (answer.status !== 200) throw unexpected(answer);
};

/** Amount, description or payee: new each time, so that it is never a change to the same. */
const changeTerms: Action = async (run, _client, { milestone: n, which, app }) => {
  const { id, contract } = milestoneOf(run, n);
  const fresh = run.next();
  const payee = which % 3 === 2;
  const body = [
    { amountUsd: 100 + fresh },
    { description: `Description ${fresh}` },
    { freelancer: { ...MARIA, payoutAccount: `acct_${fresh}` } },
  ][which % 3];
  const path = payee ? `/contracts/${contract}` : `/milestones/${id}`;
  const { answer, during } = await run.operate(app, "PUT", path, body);
  const reason = answer.body.details?.reason;
  assertAllowed(
    registerOf(run.ended, contract).allows(reason === "contract_ended", during),
    "contract",
    answer,
  );
  if (reason === "contract_ended") return;
  const cancelled = registerOf(run.cancelled, id);
  assertAllowed(payee || cancelled.allows(reason === "milestone_cancelled", during), "milestone", answer);
  if (answer.status !== 200 && reason !== "milestone_cancelled") throw unexpected(answer);
};

const addCard: Action = async (run, _client, { app }) => {
  const onFile = new Register(false);
  const card = { id: "", onFile };
  run.cards.push(card);
  const answer = await run.set(onFile, true, () =>
    run.operate(app, "POST", "/payment-methods", { paymentMethod: "pm_card_visa" }),
  );
  if (answer.status !== 201) throw unexpected(answer);
  card.id = answer.body.paymentMethod.id;
};

const removeCard: Action = async (run, _client, { which, app }) => {
  const known = run.cards.filter((card) => card.id !== "");
  const card = pick(known, which);
  const start = run.clock.tick();
  const write = card.onFile.write(false, start);
  const { answer, during } = await run.operate(app, "DELETE", `/payment-methods/${card.id}`);
  write.end = during.end;
  if (answer.status === 200) return;
  // Another client has removed it.
  card.onFile.undo(write);
  assertAllowed(answer.status === 404 && card.onFile.allows(false, during), "card", answer);
};

const switchFeature: Action = async (run, _client, { on, app }) => {
  const answer = await run.set(run.feature, on, () =>
    run.operate(app, "PUT", "", { features: { public_api_payments_write: on } }),
  );
  if (answer.status !== 200) throw unexpected(answer);
};

export async function mint(run: Run): Promise<void> {
  const { answer } = await run.operate(0, "POST", "/tokens", {
    name: `Agent ${run.next()}`,
    scopes: ["payments:write"],
  });
  if (answer.status !== 201) throw unexpected(answer);
  run.tokens.push({
    id: answer.body.metadata.id,
    value: answer.body.token,
    revoked: new Register(false),
  });
}

/** No call revokes a token yet, so that the row is changed as one would. */
const revoke: Action = async (run, _client, { which }) => {
  const token = pick(run.tokens, which);
  const write = token.revoked.write(true, run.clock.tick());
  await run.services.db
    .updateTable("tokens")
    .set({ revoked_at: await readClock(run.services.db) })
    .where("account_id", "=", run.world.accountId)
    .where("id", "=", token.id)
    .where("revoked_at", "is", null)
    .execute();
  write.end = run.clock.tick();
  run.history.push(`${write.start}–${write.end} revoke token ${token.id}`);
};

/** Waits until an approval of the second app has expired, by the database's clock. */
const expire: Action = async (run, _client, { which }) => {
  if (run.expiring.length > 0) await passed(run, pick(run.expiring, which).expiresAt);
};

async function passed({ services }: Run, time: string): Promise<void> {
  for (;;) {
    const left = new Date(time).getTime() - (await readClock(services.db)).getTime();
    if (left <= 0) return;
    await delay(left);
  }
}

/** Lets every approval of the second app expire and be flipped: nothing happens to the account by itself after. */
export async function comeToRest(run: Run): Promise<void> {
  for (const { expiresAt } of run.expiring) await passed(run, expiresAt);
  await sweepExpiredApprovals(run.services.db);
}

const sweep: Action = async (run) => {
  const start = run.clock.tick();
  const flipped = await sweepExpiredApprovals(run.services.db);
  run.history.push(`${start}–${run.clock.tick()} sweep ${flipped}`);
};

const ACTIONS: Record<string, { action: Action; weight: number }> = {
  fund: { action: fund, weight: 14 },
  read: { action: read, weight: 6 },
  follow: { action: follow, weight: 6 },
  cancel: { action: cancel, weight: 1 },
  end: { action: end, weight: 1 },
  changeTerms: { action: changeTerms, weight: 4 },
  addCard: { action: addCard, weight: 2 },
  removeCard: { action: removeCard, weight: 1 },
  switchFeature: { action: switchFeature, weight: 2 },
  mint: { action: mint, weight: 1 },
  revoke: { action: revoke, weight: 1 },
  expire: { action: expire, weight: 3 },
  sweep: { action: sweep, weight: 2 },
};

/** One command of a client, to be sent some turns of the event loop after the one before it. */
export const arbitraryCommand: fc.Arbitrary<Command> = fc.record({
  name: fc.oneof(
    ...Object.entries(ACTIONS).map(([name, { weight }]) => ({ weight, arbitrary: fc.constant(name) })),
  ),
  milestone: fc.nat(2),
  which: fc.nat(11),
  limit: fc.integer({ min: 1, max: 7 }),
  on: fc.oneof({ weight: 3, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
  app: fc.constantFrom(0 as const, 1 as const),
  late: fc.nat(6),
});

/** Plays a client's program from its first command to its last. */
export async function play(run: Run, client: Client, program: readonly Command[]): Promise<void> {
  for (const { name, late, ...fields } of program) {
    for (let turns = late; turns > 0; turns--) await turn();
    await ACTIONS[name]?.action(run, client, fields);
  }
}
