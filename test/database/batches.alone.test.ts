import pg from "pg";
import { afterEach, describe, expect, test, vi } from "vitest";
import { inBatches } from "../../src/database/batches.ts";
import type { Db } from "../../src/database/connection.ts";
import { Problem } from "../../src/lib/problems.ts";

type Sent = { requests: readonly string[]; answer(left?: readonly string[]): void; fail(error: Error): void };

/** Batching whose statements are answered by hand: each request by itself in capitals, by `alone` with a mark. */
function byHand(options: { groupOf?: (request: string) => string } = {}) {
  const sent: Sent[] = [];
  const alone: string[] = [];
  const send = inBatches<string, string>({
    ...options,
    together: (_db, requests) => {
      const { promise, resolve, reject } = Promise.withResolvers<(string | undefined)[]>();
      const answer = (left: readonly string[] = []) =>
        resolve(requests.map((one) => (left.includes(one) ? undefined : one.toUpperCase())));
      sent.push({ requests, answer, fail: reject });
      return promise;
    },
    alone: async (_db, request) => {
      alone.push(request);
      if (request.startsWith("poison")) throw new Error(request);
      return `${request} alone`;
    },
  });
  const db = { isTransaction: false } as Db;
  return { sent, alone, send: (request: string) => send(db, request) };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));
const names = (count: number) => Array.from({ length: count }, (_, i) => `r${i}`);
const deadlock = () => Object.assign(new pg.DatabaseError("deadlock", 0, "error"), { code: "40P01" });
const lockTimeout = () => Object.assign(new pg.DatabaseError("lock", 0, "error"), { code: "55P03" });
const statementTimeout = () => Object.assign(new pg.DatabaseError("slow", 0, "error"), { code: "57014" });
const invalid = () => Object.assign(new pg.DatabaseError("invalid", 0, "error"), { code: "22P02" });

/** Has four statements under way, so that what comes next waits. */
async function occupyLanes({ sent, send }: ReturnType<typeof byHand>): Promise<{ first: Promise<string[]> }> {
  const answers: Promise<string>[] = [];
  for (let lane = 0; lane < 4; lane++) {
    answers.push(send(`first${lane}`));
    await turn();
  }
  expect(sent.map(({ requests }) => requests.length)).toEqual([1, 1, 1, 1]);
  return { first: Promise.all(answers) };
}

afterEach(() => vi.useRealTimers());

describe("requests in batches", () => {
  test("a request that arrives alone goes at once, and requests that arrive together go together", async () => {
    const { sent, send } = byHand();
    const one = send("one");
    await turn();
    const both = Promise.all([send("two"), send("three")]);
    await turn();
    expect(sent.map(({ requests }) => requests)).toEqual([["one"], ["two", "three"]]);
    for (const { answer } of sent) answer();
    expect([await one, ...(await both)]).toEqual(["ONE", "TWO", "THREE"]);
  });

  test("at most four statements are under way, with at most 20 requests each, in the order of arrival", async () => {
    const hand = byHand();
    await occupyLanes(hand);
    const answers = Promise.all(names(45).map(hand.send));
    await turn();
    expect(hand.sent).toHaveLength(4);
    for (let i = 0; i < 7; i++) {
      hand.sent[i]?.answer();
      await turn();
    }
    expect(hand.sent.slice(4).map(({ requests }) => requests.length)).toEqual([20, 20, 5]);
    expect(hand.sent.slice(4).flatMap(({ requests }) => requests)).toEqual(names(45));
    expect(await answers).toEqual(names(45).map((name) => name.toUpperCase()));
  });

  test("requests of one group never share a batch, and those behind them are not held up", async () => {
    const hand = byHand({ groupOf: (request) => request[0] ?? "" });
    await occupyLanes({ ...hand, send: (request) => hand.send(`${request.at(-1)}`) });
    const answers = Promise.all(["a1", "a2", "b1", "a3", "c1"].map(hand.send));
    for (let i = 0; i < 7; i++) {
      hand.sent[i]?.answer();
      await turn();
    }
    expect(hand.sent.slice(4).map(({ requests }) => requests)).toEqual([["a1", "b1", "c1"], ["a2"], ["a3"]]);
    expect(await answers).toEqual(["A1", "A2", "B1", "A3", "C1"]);
  });

  test("a request that its batch leaves out goes alone, and its neighbours have their answers", async () => {
    const { sent, send } = byHand();
    const answers = Promise.all(["one", "held", "two"].map(send));
    await turn();
    sent[0]?.answer(["held"]);
    expect(await answers).toEqual(["ONE", "held alone", "TWO"]);
  });

  test.each([
    ["invalid input", invalid()],
    ["a deadlock", deadlock()],
    ["a lock that was not to be had", lockTimeout()],
  ])(
    "after %s each request of the batch goes again, alone: only the poisoned one fails",
    async (_name, error) => {
      const { sent, send } = byHand();
      const answers = Promise.allSettled(["one", "poison", "two"].map(send));
      await turn();
      sent[0]?.fail(error);
      expect(await answers).toEqual([
        { status: "fulfilled", value: "one alone" },
        { status: "rejected", reason: new Error("poison") },
        { status: "fulfilled", value: "two alone" },
      ]);
    },
  );

  test.each([
    ["a connection that broke", Object.assign(new Error("reset"), { code: "ECONNRESET" })],
    ["no connection", new Error("timeout exceeded when trying to connect")],
    ["no answer", new Error("Query read timeout")],
    ["a statement that took too long", statementTimeout()],
  ])("after %s each request of the batch gets that error, and none is sent again", async (_name, error) => {
    const { sent, alone, send } = byHand();
    const answers = Promise.allSettled(["one", "two"].map(send));
    await turn();
    sent[0]?.fail(error);
    expect(await answers).toEqual([
      { status: "rejected", reason: error },
      { status: "rejected", reason: error },
    ]);
    expect([sent.length, alone]).toEqual([1, []]);
  });

  test("a request that came alone and failed is not sent again", async () => {
    const { sent, alone, send } = byHand();
    const answer = send("one");
    await turn();
    const error = deadlock();
    sent[0]?.fail(error);
    await expect(answer).rejects.toBe(error);
    expect(alone).toEqual([]);
  });

  test("a request that finds no free lane within three seconds is refused, and is never sent", async () => {
    const hand = byHand();
    const { first } = await occupyLanes(hand);
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const late = hand.send("late");
    const refused = expect(late).rejects.toEqual(new Problem("unavailable", { retryAfterSeconds: 2 }));
    vi.advanceTimersByTime(3_000);
    await refused;
    for (const { answer } of hand.sent) answer();
    await first;
    expect(hand.sent).toHaveLength(4);
  });

  test("in a transaction each request goes by itself", async () => {
    const together = vi.fn();
    const send = inBatches<string, string>({ together, alone: async (_db, request) => request });
    const trx = { isTransaction: true } as Db;
    expect(await Promise.all(["one", "two"].map((request) => send(trx, request)))).toEqual(["one", "two"]);
    expect(together).not.toHaveBeenCalled();
  });
});
