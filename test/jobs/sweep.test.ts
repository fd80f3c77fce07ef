import { expect, test } from "vitest";
import { sweep, sweepRows } from "../../src/jobs/sweep.ts";

test("a sweep handles every item although one fails, ends, and reports the failure", async () => {
  const due = new Set(["a", "broken", "c"]);
  const handled: string[] = [];
  const swept = sweep(
    async () => [...due],
    async (item) => {
      if (item === "broken") throw new Error("broken");
      handled.push(item);
      due.delete(item);
      return 1;
    },
  );
  await expect(swept).rejects.toThrow(AggregateError);
  expect(handled).toEqual(["a", "c"]);
});

test("a sweep goes on until nothing is due, and counts rows", async () => {
  const batches = [["a", "b"], ["c"]];
  expect(
    await sweep(
      async () => batches.shift() ?? [],
      async () => 2,
    ),
  ).toBe(6);
});

test("a sweep ends after a bounded number of batches, whatever is due", async () => {
  let calls = 0;
  await sweep(
    async () => ["always due"],
    async () => ++calls,
  );
  expect(calls).toBe(100);
});

test("rows are removed batch after batch until one is not full", async () => {
  const counts = [10, 10, 3, 99];
  expect(await sweepRows(10, async () => counts.shift() ?? 0)).toBe(23);
});
