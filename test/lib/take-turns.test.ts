import { expect, test } from "vitest";
import { takeTurnsByKey } from "../../src/lib/turns.ts";

test("takeTurnsByKey runs so many of one key at once, and those of another key beside them", async () => {
  const inTurn = takeTurnsByKey(2);
  const open: (() => void)[] = [];
  const begun: string[] = [];
  const work = (key: string) =>
    inTurn(key, async () => {
      begun.push(key);
      await new Promise<void>((resolve) => open.push(resolve));
    });
  const all = [work("a"), work("a"), work("a"), work("b")];
  expect(begun).toEqual(["a", "a", "b"]);
  open.shift()?.();
  await all[0];
  expect(begun).toEqual(["a", "a", "b", "a"]);
  for (const end of open) end();
  await Promise.all(all);
});

test("takeTurnsByKey hands the turn on when the work fails", async () => {
  const inTurn = takeTurnsByKey(1);
  const failed = inTurn("a", () => Promise.reject(new Error("no")));
  const next = inTurn("a", async () => "done");
  await expect(failed).rejects.toThrow("no");
  expect(await next).toBe("done");
});
