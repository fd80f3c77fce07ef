import { SECOND } from "../lib/time.ts";

/** What waits at the processor is read again after a tenth of its age, within these bounds, in seconds. */
const SHARE = 0.1;
const AT_LEAST = 5;
export const LOOK_AGAIN_AT_MOST = 600;

/** In how many seconds to read it again. Less often the longer it has waited: a person may take a day to answer. */
export function lookAgainIn(createdAt: Date, now: Date): number {
  const age = (now.getTime() - createdAt.getTime()) / SECOND;
  return Math.min(Math.max(age * SHARE, AT_LEAST), LOOK_AGAIN_AT_MOST);
}
