export type Interval = { median: number; low: number; high: number; confidence: number };

const WANTED = 0.95;

/**
 * The median of some measurements and an interval for it that assumes nothing about how they scatter: from the
 * k-th smallest to the k-th largest, with the largest k that gives 95 % (of 9: the 2nd and the 8th, 96.1 %).
 * Of fewer than 6 the smallest and the largest, with what confidence those give.
 */
export function medianOf(values: readonly number[]): Interval {
  const sorted = [...values].sort((a, b) => a - b);
  const n = sorted.length;
  let k = 1;
  while (confidenceOf(n, k + 1) >= WANTED) k += 1;
  const at = (i: number) => sorted[i] ?? Number.NaN;
  return {
    median: (at(Math.floor((n - 1) / 2)) + at(Math.ceil((n - 1) / 2))) / 2,
    low: at(k - 1),
    high: at(n - k),
    confidence: confidenceOf(n, k),
  };
}

/** How likely the median lies between the k-th smallest and the k-th largest of n: 1 − 2·P(Binomial(n, ½) < k). */
function confidenceOf(n: number, k: number): number {
  let term = 0.5 ** n;
  let below = 0;
  for (let i = 0; i < k; i++) {
    below += term;
    term *= (n - i) / (i + 1);
  }
  return 1 - 2 * below;
}
