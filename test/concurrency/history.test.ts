import { expect, test } from "vitest";
import { findContradictions, type Sight } from "./model/history.ts";

const sight = (id: string, status: string, start: number): Sight => ({
  id,
  status,
  milestone: "m",
  start,
  end: start + 1,
});

test("what clients saw is held against the life of an approval", () => {
  const life = [
    sight("a", "pending", 1),
    sight("a", "expired", 3),
    sight("b", "pending", 5),
    sight("b", "pending", 7),
  ];
  expect(findContradictions(life)).toEqual([]);
  expect(findContradictions([...life, sight("a", "pending", 9)])).toEqual([
    expect.stringContaining("a was expired at 3–4"),
    expect.stringContaining("a was pending again after b"),
    expect.stringContaining("a was pending again after b"),
  ]);
  expect(findContradictions([...life, { ...sight("a", "pending", 9), milestone: "another" }])).toHaveLength(
    1,
  );
});
