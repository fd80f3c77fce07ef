/** Batches a run at most; the next run takes the rest. */
const BATCHES_AT_MOST = 100;

/**
 * Works through what is due, item by item, until nothing is due. An item that fails does not hold up the others.
 * @param list what is due now, a batch of it
 * @param work handles one item, usually one account in a transaction of its own; returns how many rows it took
 * @returns how many rows all items took
 * @throws AggregateError after the other items, if some have failed: `every` logs it and runs again
 */
export async function sweep<Item>(
  list: () => Promise<readonly Item[]>,
  work: (item: Item) => Promise<number>,
): Promise<number> {
  const errors: unknown[] = [];
  let rows = 0;
  for (let batch = 1; batch <= BATCHES_AT_MOST; batch++) {
    const items = await list();
    const before = errors.length;
    for (const item of items) {
      try {
        rows += await work(item);
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length - before === items.length) break;
  }
  if (errors.length > 0) throw new AggregateError(errors, `${errors.length} items of a sweep have failed`);
  return rows;
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
