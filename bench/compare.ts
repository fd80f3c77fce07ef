import { printCase, type Sample, type Side } from "./report.ts";

/** One side of a comparison; `run` is one slice of it. */
export type Contender = { name: string; queries?: number; run(): Promise<Sample> };

/** Runs the contenders in turn, in pairs (or threes), every other one backwards, and prints what came of it. */
export async function compare(name: string, contenders: Contender[], pairs: number): Promise<void> {
  const sides: Side[] = contenders.map((contender) => ({ ...contender, samples: [] }));
  for (let pair = 0; pair < pairs; pair++) {
    const order = [...contenders.entries()];
    if (pair % 2 === 1) order.reverse();
    for (const [i, contender] of order) sides[i]?.samples.push(await contender.run());
  }
  printCase(name, sides);
}
