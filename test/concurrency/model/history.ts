/** Moments of one run, in the order in which they happened: requests are sent and answered at one. */
export class Clock {
  #now = 0;
  tick(): number {
    this.#now += 1;
    return this.#now;
  }
}

export type Interval = { start: number; end: number };
export type Write<T> = Interval & { value: T };

/**
 * Something that is set by requests whose moment of effect is unknown: it lies between sending and answer. So
 * a request may have met what one at the same time set, or what was set last before it, and nothing older.
 */
export class Register<T> {
  readonly #writes: Write<T>[];

  constructor(initial: T) {
    this.#writes = [{ start: 0, end: 0, value: initial }];
  }

  /** Notes that `value` is being set from `start` on. Set the answer's `end`; without one it may come at any time. */
  write(value: T, start: number): Write<T> {
    const write = { start, end: Number.POSITIVE_INFINITY, value };
    this.#writes.push(write);
    return write;
  }

  /** Takes back a write that was refused. */
  undo(write: Write<T>): void {
    this.#writes.splice(this.#writes.indexOf(write), 1);
  }

  /** Whether a request of that interval can have met `value`. */
  allows(value: T, during: Interval): boolean {
    return this.#writes.some(
      (write) =>
        write.value === value &&
        write.start < during.end &&
        !this.#writes.some((later) => write.end < later.start && later.end < during.start),
    );
  }
}

/** An approval as a client saw it; the feed tells only that it has ended, and how. */
export type Sight = Interval & {
  id: string;
  status: string;
  milestone?: string;
  resolvedAt?: string | null;
  result?: unknown;
};

/**
 * Whether what clients saw, each at its time, fits the life of an approval: pending, then one end for ever; and
 * the next approval of a milestone only after that.
 * @returns a line for everything that does not fit
 */
export function findContradictions(sights: readonly Sight[]): string[] {
  const found: string[] = [];
  for (const [id, ofOne] of Map.groupBy(sights, (sight) => sight.id)) {
    for (const ended of ofOne.filter((sight) => sight.status !== "pending")) {
      for (const later of ofOne.filter((sight) => sight.start > ended.end)) {
        if (!sameEnd(ended, later)) found.push(`${id} was ${describe(ended)} and then ${describe(later)}`);
      }
    }
  }
  const pending = sights.filter(({ status }) => status === "pending");
  for (const ofMilestone of Map.groupBy(pending, ({ milestone }) => milestone).values()) {
    for (const other of ofMilestone) {
      // Not by `createdAt`: that is when its request was read, and another's whole life may lie between that and its row.
      const before = new Set(ofMilestone.filter(({ end }) => end < other.start).map(({ id }) => id));
      for (const again of ofMilestone.filter(({ start }) => start > other.end))
        if (again.id !== other.id && before.has(again.id))
          found.push(`${again.id} was pending again after ${other.id}, of the same milestone, had been`);
    }
  }
  return found;
}

function sameEnd(a: Sight, b: Sight): boolean {
  if (a.status !== b.status) return false;
  if (a.resolvedAt === undefined || b.resolvedAt === undefined) return true;
  return a.resolvedAt === b.resolvedAt && JSON.stringify(a.result) === JSON.stringify(b.result);
}

function describe({ start, end, status, resolvedAt, result }: Sight): string {
  return `${status} at ${start}–${end} (${resolvedAt}, ${JSON.stringify(result)})`;
}
