import { traced } from "../metrics/tracing.ts";

/**
 * Every write and every call of a payment, in order. `atBoundary` takes these names only. Tests kill the process
 * before and after each, and fail if one of them has no test.
 */
export const BOUNDARIES = [
  "write-signed-attempt",
  "call-search",
  "call-prepare",
  "write-key",
  "write-intent",
  "write-submitted",
  "call-execute",
  "call-send",
  "call-read",
  "call-cancel",
  "write-action-required",
  "write-sent",
  "write-unknown",
  "write-success",
  "write-refusal",
  "take-lease",
  "call-open-page",
  "call-list-pages",
  "call-read-page",
  "call-end-page",
  "write-page",
  "write-page-dropped",
  "write-top-up",
  "write-top-up-expired",
] as const;

export type Boundary = (typeof BOUNDARIES)[number];

/** Called before and after a boundary, and awaited. Tests pause attempts there, or end the process. */
export type BoundaryObserver = (boundary: Boundary, moment: "before" | "after") => void | Promise<void>;

/** Runs `step`, and calls the observer before and after it. */
export async function atBoundary<T>(
  { boundaries: observer }: { boundaries?: BoundaryObserver | undefined },
  boundary: Boundary,
  step: () => Promise<T>,
): Promise<T> {
  await observer?.(boundary, "before");
  const result = await traced(`payment ${boundary}`, {}, step);
  await observer?.(boundary, "after");
  return result;
}
