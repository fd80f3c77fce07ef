/**
 * Every write and every call on the way of a payment, by name and in order. The code passes through them with
 * `atBoundary`, which takes no other name; the tests kill the process before and after each, and fail when one of
 * this list has no test.
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
] as const;

export type Boundary = (typeof BOUNDARIES)[number];

/**
 * Told when a boundary is about to be crossed and when it has been; what it returns is waited for. Tests hold
 * attempts there, and end the process.
 */
export type BoundaryObserver = (boundary: Boundary, moment: "before" | "after") => void | Promise<void>;

/** Passes a boundary: runs `step`, and tells the observer on both sides. */
export async function atBoundary<T>(
  { boundaries: observer }: { boundaries?: BoundaryObserver | undefined },
  boundary: Boundary,
  step: () => Promise<T>,
): Promise<T> {
  await observer?.(boundary, "before");
  const result = await step();
  await observer?.(boundary, "after");
  return result;
}
