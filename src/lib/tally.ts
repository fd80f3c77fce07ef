import { MINUTE } from "./time.ts";

const BETWEEN = MINUTE;

/**
 * For what an outsider can bring about as often as they like: `report` is told of the first at once, and then once a
 * minute how many more there were.
 */
export function tally(report: (count: number) => void): () => void {
  let count = 0;
  let timer: NodeJS.Timeout | undefined;
  const tell = (): void => {
    timer = undefined;
    if (count === 0) return;
    report(count);
    count = 0;
    timer = setTimeout(tell, BETWEEN).unref();
  };
  return () => {
    count += 1;
    if (timer === undefined) tell();
  };
}
