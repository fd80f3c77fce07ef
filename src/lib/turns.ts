/**
 * Runs at most `size` pieces of work at once; the others wait in the order of their arrival.
 * @returns runs a piece of work in its turn and settles as it does
 */
export function takeTurns(size: number): <T>(work: () => Promise<T>) => Promise<T> {
  const queue: (() => void)[] = [];
  let running = 0;
  return async (work) => {
    if (running < size) running += 1;
    // The finished work passes its place on.
    else await new Promise<void>((resolve) => queue.push(resolve));
    try {
      return await work();
    } finally {
      const next = queue.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}

/** The same for each key by itself. Keeps nothing of a key whose work is done. */
export function takeTurnsByKey(size: number): <T>(key: string, work: () => Promise<T>) => Promise<T> {
  const byKey = new Map<string, { run: ReturnType<typeof takeTurns>; users: number }>();
  return async (key, work) => {
    const turns = byKey.get(key) ?? { run: takeTurns(size), users: 0 };
    byKey.set(key, turns);
    turns.users += 1;
    try {
      return await turns.run(work);
    } finally {
      turns.users -= 1;
      if (turns.users === 0) byKey.delete(key);
    }
  };
}
