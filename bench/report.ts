import { type Interval, medianOf } from "./statistics.ts";

/** What one side of a comparison did in one slice. */
export type Sample = {
  rate: number;
  p50?: number;
  p99?: number;
  /** Microseconds of processor time a request. */
  serviceCpu?: number;
  postgresCpu?: number;
};
/** A side's samples, in the order of the pairs. */
export type Side = { name: string; samples: Sample[]; queries?: number };

const WIDTHS = [14, 10, 12, 18, 8, 8, 8, 12, 12];

export function printHeader(): void {
  printRow([
    "",
    "",
    "requests/s",
    "95 % interval",
    "p50 ms",
    "p99 ms",
    "queries",
    "service µs",
    "Postgres µs",
  ]);
}

/** Prints a case: each side's medians, and the first side's share of each other, pair by pair: of its rate, and of its processor time. */
export function printCase(name: string, sides: Side[]): void {
  for (const [i, side] of sides.entries()) {
    const rate = medianOf(side.samples.map((sample) => sample.rate));
    const text = (name: keyof Sample, digits: number) => {
      const { median } = medianOf(side.samples.map((sample) => sample[name] ?? Number.NaN));
      return Number.isNaN(median) ? "–" : median.toFixed(digits);
    };
    printRow([
      i === 0 ? name : "",
      side.name,
      rate.median.toFixed(0),
      `${rate.low.toFixed(0)} – ${rate.high.toFixed(0)}`,
      text("p50", 2),
      text("p99", 2),
      String(side.queries ?? ""),
      text("serviceCpu", 0),
      text("postgresCpu", 0),
    ]);
  }
  const [first, ...others] = sides;
  for (const other of others) {
    printRatio(`/ ${other.name}`, first, other, ({ rate }) => rate);
    printRatio("  in CPU", first, other, ({ serviceCpu, postgresCpu }) =>
      serviceCpu === undefined || postgresCpu === undefined ? Number.NaN : serviceCpu + postgresCpu,
    );
  }
}

/** Prints the one side's share of the other in what `read` reads of a sample, where that was measured. */
function printRatio(
  name: string,
  one: Side | undefined,
  other: Side,
  read: (sample: Sample) => number,
): void {
  const ratio = ratioOf((one?.samples ?? []).map(read), other.samples.map(read));
  if (Number.isNaN(ratio.median)) return;
  printRow(["", name, ratio.median.toFixed(3), `${ratio.low.toFixed(3)} – ${ratio.high.toFixed(3)}`]);
}

function ratioOf(ones: readonly number[], others: readonly number[]): Interval {
  return medianOf(ones.map((one, pair) => one / (others[pair] ?? Number.NaN)));
}

function printRow(cells: string[]): void {
  const padded = cells.map((cell, i) =>
    i < 2 ? cell.padEnd(WIDTHS[i] ?? 0) : cell.padStart(WIDTHS[i] ?? 0),
  );
  console.log(padded.join(" ").trimEnd());
}
