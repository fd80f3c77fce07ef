import { describe, expect, test } from "vitest";
import { createPasswordQueue } from "../../src/sign-in/password-queue.ts";

const THREADS = 4;
const REFUSED = { problem: "unavailable", details: { retryAfterSeconds: 2 } };

/** A hash that runs until the test ends it. */
function held() {
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  let begun = false;
  return {
    end: () => end(),
    begun: () => begun,
    work: async () => {
      begun = true;
      await ended;
    },
  };
}

/** Fills a lane until it refuses more. */
async function fill(queue: ReturnType<typeof createPasswordQueue>, lane: "known" | "stranger") {
  const hashes: ReturnType<typeof held>[] = [];
  const runs: Promise<void>[] = [];
  for (;;) {
    const hash = held();
    try {
      queue.assertRoom(lane);
    } catch {
      return { hashes, runs };
    }
    hashes.push(hash);
    runs.push(queue.run(lane, hash.work));
    await Promise.resolve();
  }
}

describe("The queue of passwords", () => {
  test("the password queue runs one hash per spare thread, and the rest in order", async () => {
    const queue = createPasswordQueue(THREADS);
    const hashes = Array.from({ length: 4 }, held);
    const runs = hashes.map(({ work }) => queue.run("known", work));
    await Promise.resolve();
    expect(hashes.map(({ begun }) => begun())).toEqual([true, true, false, false]);
    hashes[1]?.end();
    await runs[1];
    await Promise.resolve();
    expect(hashes.map(({ begun }) => begun())).toEqual([true, true, true, false]);
    for (const { end } of hashes) end();
    await Promise.all(runs);
    expect(hashes.every(({ begun }) => begun())).toBe(true);
  });

  test("the password queue refuses a stranger at once when their lane is full, and takes a known person", async () => {
    const queue = createPasswordQueue(THREADS);
    const strangers = await fill(queue, "stranger");
    expect(strangers.hashes.length).toBeGreaterThan(10);
    expect(strangers.hashes.filter(({ begun }) => begun())).toHaveLength(1);
    await expect(queue.run("stranger", async () => {})).rejects.toMatchObject(REFUSED);
    // All of the strangers' hashes still run.
    expect(await queue.run("known", async () => "proved")).toBe("proved");
    for (const { end } of strangers.hashes) end();
    await Promise.all(strangers.runs);
    expect(await queue.run("stranger", async () => "in")).toBe("in");
  });

  test("the password queue bounds the lane of known people too", async () => {
    const queue = createPasswordQueue(THREADS);
    const known = await fill(queue, "known");
    await expect(queue.run("known", async () => {})).rejects.toMatchObject(REFUSED);
    for (const { end } of known.hashes) end();
    await Promise.all(known.runs);
  });

  test("the password queue frees the slot of a hash that fails", async () => {
    const queue = createPasswordQueue(1);
    for (let turn = 0; turn < 3; turn++)
      await expect(queue.run("stranger", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(await queue.run("stranger", async () => "yes")).toBe("yes");
  });
});
