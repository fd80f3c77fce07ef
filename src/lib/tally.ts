import { MINUTE } from "./time.ts";

const BETWEEN = MINUTE;

/**
 * For events that an outsider can cause at will: calls `report` for the first at once, and then once a minute with the
 * number of further ones.
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
