import { setImmediate as turn } from "node:timers/promises";
import * as fc from "fast-check";
import { ASKING } from "./asking.ts";
import { DECIDING } from "./deciding.ts";
import { HAPPENING } from "./happening.ts";
import type { Run, Setting } from "./world.ts";

/** `dies`: 0, or at which boundary the process that carries a confirmation out ends. */
export type Fields = { milestone: number; which: number; on: boolean; app: 0 | 1; dies: number };
export type Action = (run: Run, fields: Fields) => Promise<void>;
export type Command = Fields & { name: string; late: number };

export function pick<T>(list: readonly T[], n: number): T {
  const item = list[Math.floor(n) % list.length];
  if (item === undefined) throw new TypeError("nothing to pick from");
  return item;
}

const actions = (): Record<string, { action: Action; weight: number }> => ({
  ...ASKING,
  ...DECIDING,
  ...HAPPENING,
});

/** One command of a client, to be sent some turns of the event loop after the one before it. */
export function arbitraryCommand(): fc.Arbitrary<Command> {
  const names = Object.entries(actions()).map(([name, { weight }]) => ({
    weight,
    arbitrary: fc.constant(name),
  }));
  return fc.record({
    name: fc.oneof(...names),
    milestone: fc.nat(3),
    which: fc.nat(11),
    on: fc.oneof({ weight: 3, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
    app: fc.constantFrom(0 as const, 1 as const),
    dies: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(31) }),
    late: fc.nat(6),
  });
}

/** Plays a client's program from its first command to its last. */
export async function play(run: Run, program: readonly Command[]): Promise<void> {
  for (const { name, late, ...fields } of program) {
    for (let turns = late; turns > 0; turns--) await turn();
    await actions()[name]?.action(run, fields);
  }
}

/** Funds and releases the run's milestones, one after the other, as far as is asked. */
export async function moveTo(run: Run, stands: Setting["stands"]): Promise<void> {
  const calm = { which: 0, on: true, app: 0 as const, dies: 0 };
  for (const [milestone, stand] of stands.entries()) {
    const asked = stand === "new" ? [] : stand === "funded" ? [ASKING.fund] : [ASKING.fund, ASKING.release];
    for (const { action } of asked) {
      await action(run, { ...calm, milestone });
      for (const person of run.people.keys())
        await DECIDING.confirm.action(run, { ...calm, milestone: person });
    }
  }
  run.note("begin");
}
