/** Chance that can be had again by its seed, and a count of what was tried. */
export type Dice = {
  /** From 0 up to 1. */
  roll(): number;
  /** One of them; each as likely as any. */
  pick<T>(items: readonly T[]): T;
  /** From `low` to `high` milliseconds. */
  between(low: number, high: number): number;
};

/** Mulberry32: small, and good enough to choose by. */
export function createDice(seed: number): Dice {
  let state = seed >>> 0;
  const roll = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    roll,
    pick: (items) => {
      const item = items[Math.floor(roll() * items.length)];
      if (item === undefined) throw new RangeError("nothing to pick from");
      return item;
    },
    between: (low, high) => low + roll() * (high - low),
  };
}

/** Counts by name. */
export class Tally {
  readonly #counts = new Map<string, number>();

  add(name: string, times = 1): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + times);
  }

  /** A line for each name, in their order. */
  lines(): string[] {
    return [...this.#counts].sort().map(([name, count]) => `  ${String(count).padStart(6)}  ${name}`);
  }
}
