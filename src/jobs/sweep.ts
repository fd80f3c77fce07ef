/** Batches a run at most; the next run takes the rest. */
const BATCHES_AT_MOST = 100;

/**
 * Works through what is due, item by item, until nothing is due. An item that fails does not hold up the others.
 * @param list what is due now, a batch of it: what has failed may be in it again, or, where `advances`, is not
 * @param work handles one item, usually one account in a transaction of its own; returns how many rows it took
 * @returns how many rows all items took
 * @throws AggregateError after the other items, if some have failed: `every` logs it and runs again
 */
export async function sweep<Item>(
  list: () => Promise<readonly Item[]>,
  work: (item: Item) => Promise<number>,
  { advances = false }: { advances?: boolean } = {},
): Promise<number> {
  const errors: unknown[] = [];
  let rows = 0;
  for (let batch = 1; batch <= BATCHES_AT_MOST; batch++) {
    const items = await list();
    const before = errors.length;
    for (const item of items) rows += await tried(errors, () => work(item));
    if (items.length === 0 || (!advances && errors.length - before === items.length)) break;
  }
  throwAll(errors);
  return rows;
}

/**
 * Handles each item once. One that fails does not hold up the others.
 * @throws AggregateError after the other items, if some have failed
 */
export async function sweepEach<Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<unknown>,
): Promise<void> {
  const errors: unknown[] = [];
  for (const item of items) await tried(errors, () => work(item).then(() => 0));
  throwAll(errors);
}

/** Calls `remove`, which removes `limit` rows at most, until it finds fewer. @returns how many it has removed */
export async function sweepRows(limit: number, remove: () => Promise<number>): Promise<number> {
  let rows = 0;
  for (let batch = 1; batch <= BATCHES_AT_MOST; batch++) {
    const removed = await remove();
    rows += removed;
    if (removed < limit) break;
  }
  return rows;
}

async function tried(errors: unknown[], work: () => Promise<number>): Promise<number> {
  try {
    return await work();
  } catch (error) {
    errors.push(error);
    return 0;
  }
}

function throwAll(errors: readonly unknown[]): void {
  if (errors.length > 0) throw new AggregateError(errors, `${errors.length} items of a sweep have failed`);
}
