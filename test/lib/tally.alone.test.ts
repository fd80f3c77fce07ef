import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { tally } from "../../src/lib/tally.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("tells of the first at once, then once a minute how many more there were, and of the next at once again", () => {
  const told: number[] = [];
  const count = tally((times) => told.push(times));
  for (let i = 0; i < 1_000; i++) count();
  expect(told).toEqual([1]);
  vi.advanceTimersByTime(60_000);
  expect(told).toEqual([1, 999]);
  vi.advanceTimersByTime(60_000);
  expect(told).toEqual([1, 999]);
  count();
  expect(told).toEqual([1, 999, 1]);
});
