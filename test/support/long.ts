import { test } from "vitest";

/** Whether everything is tried (`npm run test:long`), and not one of each kind. */
export const LONG = process.env.TEST_MODE === "long";

/** A test that an everyday run skips: one that does run stands for it. */
export const longTest = test.runIf(LONG);

/** How many to try: `short` in an everyday run, `long` in a long one. */
export function count(short: number, long: number): number {
  return LONG ? long : short;
}

/** Which of `cases` to try: the first ones in an everyday run, all of them in a long one. */
export function some<T>(cases: readonly T[], short: number): T[] {
  return LONG ? [...cases] : cases.slice(0, short);
}
