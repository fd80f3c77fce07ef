import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, inject, test } from "vitest";
import { FAULTS } from "../faults.ts";
import { inParallel } from "../payments/killing.ts";
import { createScratch, FAILED } from "../support/fault-runner.ts";
import { LONG } from "../support/long.ts";

const ROOT = join(import.meta.dirname, "../..");
const read = (file: string): string => readFileSync(join(ROOT, file), "utf8");
/** Each is a run of Vitest by itself. */
const AT_ONCE = 2;

describe("each fault", () => {
  test.for(FAULTS)("$file: $title", ({ file, find, replace, test, title }) => {
    expect(read(file).split(find), "occurs once").toHaveLength(2);
    expect(replace).not.toBe(find);
    expect(read(test)).toContain(title);
  });

  test.runIf(LONG)("fails the test that it names", { timeout: 20 * 60_000 }, async () => {
    const verdicts: [fault: string, verdict: string][] = [];
    const rest = [...FAULTS];
    await inParallel(AT_ONCE, Array.from({ length: AT_ONCE }), async () => {
      const tryFault = await createScratch(inject("adminUrl"));
      for (let fault = rest.shift(); fault !== undefined; fault = rest.shift())
        verdicts.push([`${fault.file}: ${fault.find}`, await tryFault(fault)]);
    });
    expect(verdicts.filter(([, verdict]) => verdict !== FAILED)).toEqual([]);
  });
});
