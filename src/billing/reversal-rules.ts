import type { Reversal } from "./processor.ts";

const COMPARED = ["status", "takenCents", "final", "amountCents"] as const;

/** Whether the processor says of a reversal what is not recorded of it yet. */
export function hasChanged(row: Pick<Reversal, (typeof COMPARED)[number]>, reversal: Reversal): boolean {
  return COMPARED.some((key) => row[key] !== reversal[key]);
}
