import { BOUNDARIES, type Boundary } from "../../src/billing/boundaries.ts";
import type { CardKind } from "../support/rails.ts";

/** One side of a boundary. */
export type Crossing = `${Boundary}:${"before" | "after"}`;

export type BankAnswer = "pass" | "fail" | "give-up";

/** How a payment ends when no process dies: the money has moved, it was refused, or the bank is waited for. */
export type End = "confirmed" | "refused" | "action_required";

export const both = (...boundaries: Boundary[]): Crossing[] =>
  boundaries.flatMap((boundary): Crossing[] => [`${boundary}:before`, `${boundary}:after`]);

export const EVERY_CROSSING: readonly Crossing[] = both(...BOUNDARIES);

const SUBMIT = both("write-signed-attempt", "call-search", "call-prepare", "write-intent", "write-submitted");
const EXECUTE = both("call-execute");

/** What a request crosses: the confirmation or, if there is an answer to the bank, that answer's. */
export type Path = { card: CardKind; answer?: BankAnswer; crosses: Crossing[]; end: End };

/** Every card's path while no process dies: that of the person's own requests. */
export const REQUESTS: readonly Path[] = [
  { card: "pays", crosses: [...SUBMIT, ...EXECUTE, ...both("write-success")], end: "confirmed" },
  { card: "slow", crosses: [...SUBMIT, ...EXECUTE, ...both("write-success")], end: "confirmed" },
  {
    card: "declines",
    crosses: [...SUBMIT, ...EXECUTE, ...both("write-refusal")],
    end: "refused",
  },
  {
    // The money moves, the answer never comes.
    card: "loses",
    crosses: [...SUBMIT, "call-execute:before", ...both("write-unknown")],
    end: "confirmed",
  },
  {
    card: "authenticates",
    crosses: [...SUBMIT, ...EXECUTE, ...both("write-action-required")],
    end: "action_required",
  },
  {
    card: "authenticates",
    answer: "pass",
    crosses: both("take-lease", "call-search", "call-read", "write-success"),
    end: "confirmed",
  },
  {
    card: "authenticates",
    answer: "fail",
    crosses: both("take-lease", "call-search", "call-read", "write-refusal"),
    end: "refused",
  },
  {
    card: "authenticates",
    answer: "give-up",
    crosses: both("take-lease", "call-cancel", "write-refusal"),
    end: "refused",
  },
];

/** What the sweep crosses that takes over an attempt whose process died at `died`. */
export type Recovery = { card: CardKind; died: Crossing; crosses: Crossing[]; end: End | "expired" };

const RESUME = both("take-lease", "call-search", "call-prepare", "write-intent", "write-submitted");
const REREAD = both("take-lease", "call-search", "call-read");
const signed = { died: "write-signed-attempt:after" } as const;
const submitted = { died: "write-submitted:after" } as const;

export const RECOVERIES: readonly Recovery[] = [
  {
    card: "pays",
    ...signed,
    crosses: [...RESUME, ...EXECUTE, ...both("write-success")],
    end: "confirmed",
  },
  {
    card: "declines",
    ...signed,
    crosses: [...RESUME, ...EXECUTE, ...both("write-refusal")],
    end: "refused",
  },
  {
    card: "loses",
    ...signed,
    crosses: [...RESUME, "call-execute:before", ...both("write-unknown")],
    end: "confirmed",
  },
  {
    card: "authenticates",
    ...signed,
    crosses: [...RESUME, ...EXECUTE, ...both("write-action-required")],
    end: "action_required",
  },
  {
    card: "pays",
    ...submitted,
    crosses: [...REREAD, ...EXECUTE, ...both("write-success")],
    end: "confirmed",
  },
  {
    card: "loses",
    ...submitted,
    crosses: [...REREAD, "call-execute:before", ...both("write-unknown")],
    end: "confirmed",
  },
  {
    card: "declines",
    ...submitted,
    crosses: [...REREAD, ...EXECUTE, ...both("write-refusal")],
    end: "refused",
  },
  {
    card: "pays",
    died: "call-execute:after",
    crosses: [...REREAD, ...both("write-success")],
    end: "confirmed",
  },
  {
    // The bank was not answered, and the approval has expired.
    card: "authenticates",
    died: "write-action-required:after",
    crosses: [...REREAD, ...both("call-cancel", "write-refusal")],
    end: "expired",
  },
];

/** What an attempt crosses besides whose key the processor has already: `survive-loss.test.ts` dies there. */
export const AFTER_LOSS: readonly Crossing[] = both("write-key");

/** How a payout or a refund goes: at once, without its answer, not at all, or at first only perhaps. */
export type OutgoingKind = "payout" | "refund";
export type How = "pays" | "loses" | "refused" | "pending" | "fails later";

const SIGN = both("write-signed-attempt");
const SEND = both("call-search", "write-submitted");

/** What the confirmation of a release crosses; that of a contract's end takes each attempt's lease besides. */
export const OUTGOING: Record<How, { crosses: Crossing[]; end: "confirmed" | "refused" }> = {
  pays: { crosses: [...SEND, ...both("call-send", "write-success")], end: "confirmed" },
  loses: { crosses: [...SEND, "call-send:before", ...both("write-unknown")], end: "confirmed" },
  refused: { crosses: [...SEND, ...both("call-send", "write-refusal")], end: "refused" },
  pending: { crosses: [...SEND, ...both("call-send", "write-sent")], end: "confirmed" },
  "fails later": { crosses: [...SEND, ...both("call-send", "write-sent")], end: "refused" },
};

export function crossedBy(kind: OutgoingKind, how: How): Crossing[] {
  const { crosses } = OUTGOING[how];
  return [...SIGN, ...(kind === "refund" ? both("take-lease") : []), ...crosses];
}

/** What the sweep crosses that takes an attempt over which was submitted, and of which the processor knows nothing yet. */
export const RESENT: readonly Crossing[] = both("take-lease", "call-search", "call-send", "write-success");
/** The same where it was sent, and the answer lost. */
export const FOUND: readonly Crossing[] = both("take-lease", "call-search", "write-success");

/** What becomes of a top-up: a page is opened, its person pays, or does not, or it ends before. */
export const TOP_UPS = {
  opens: both("call-open-page", "write-page"),
  // Where the processor keeps a failure under the first key.
  "opens again": [
    ...both("call-open-page", "call-list-pages"),
    ...both("write-page-dropped", "call-open-page", "write-page"),
  ],
  "is paid": both("call-read-page", "write-top-up"),
  expires: both("call-read-page", "call-end-page", "write-top-up-expired"),
  "loses its page": both("call-read-page", "write-page-dropped"),
} as const satisfies Record<string, Crossing[]>;
