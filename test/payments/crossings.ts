import { BOUNDARIES, type Boundary } from "../../src/approvals/boundaries.ts";

/** One side of a boundary. */
export type Crossing = `${Boundary}:${"before" | "after"}`;

export type BankAnswer = "pass" | "fail" | "give-up";

/** How a payment ends when nobody dies: the money has moved, it was refused, or the bank is waited for. */
export type End = "confirmed" | "refused" | "action_required";

export const both = (...boundaries: Boundary[]): Crossing[] =>
  boundaries.flatMap((boundary): Crossing[] => [`${boundary}:before`, `${boundary}:after`]);

export const EVERY_CROSSING: readonly Crossing[] = both(...BOUNDARIES);

const SUBMIT = both("write-signed-attempt", "call-prepare", "write-intent", "write-submitted");
const EXECUTE = both("call-execute");

/** What a request crosses: the confirmation or, if there is an answer to the bank, that answer's. */
export type Path = { card: string; answer?: BankAnswer; crosses: Crossing[]; end: End };

/** Every card's path while nobody has died: that of the person's own requests. */
export const REQUESTS: readonly Path[] = [
  { card: "pm_card_visa", crosses: [...SUBMIT, ...EXECUTE, ...both("write-success")], end: "confirmed" },
  { card: "pm_sandbox_slow", crosses: [...SUBMIT, ...EXECUTE, ...both("write-success")], end: "confirmed" },
  {
    card: "pm_card_chargeDeclined",
    crosses: [...SUBMIT, ...EXECUTE, ...both("write-refusal")],
    end: "refused",
  },
  {
    // The money moves, the answer never comes.
    card: "pm_sandbox_timeout",
    crosses: [...SUBMIT, "call-execute:before", ...both("write-unknown")],
    end: "confirmed",
  },
  {
    card: "pm_card_authenticationRequired",
    crosses: [...SUBMIT, ...EXECUTE, ...both("write-action-required")],
    end: "action_required",
  },
  {
    card: "pm_card_authenticationRequired",
    answer: "pass",
    crosses: both("take-lease", "call-read", "write-success"),
    end: "confirmed",
  },
  {
    card: "pm_card_authenticationRequired",
    answer: "fail",
    crosses: both("take-lease", "call-read", "write-refusal"),
    end: "refused",
  },
  {
    card: "pm_card_authenticationRequired",
    answer: "give-up",
    crosses: both("take-lease", "call-cancel", "write-refusal"),
    end: "refused",
  },
];

/** What the sweep crosses that takes over an attempt whose process died at `died`. */
export type Recovery = { card: string; died: Crossing; crosses: Crossing[]; end: End | "expired" };

const RESUME = both("take-lease", "call-prepare", "write-intent", "write-submitted");
const REREAD = both("take-lease", "call-read");
const signed = { died: "write-signed-attempt:after" } as const;
const submitted = { died: "write-submitted:after" } as const;

export const RECOVERIES: readonly Recovery[] = [
  {
    card: "pm_card_visa",
    ...signed,
    crosses: [...RESUME, ...EXECUTE, ...both("write-success")],
    end: "confirmed",
  },
  {
    card: "pm_card_chargeDeclined",
    ...signed,
    crosses: [...RESUME, ...EXECUTE, ...both("write-refusal")],
    end: "refused",
  },
  {
    card: "pm_sandbox_timeout",
    ...signed,
    crosses: [...RESUME, "call-execute:before", ...both("write-unknown")],
    end: "confirmed",
  },
  {
    card: "pm_card_authenticationRequired",
    ...signed,
    crosses: [...RESUME, ...EXECUTE, ...both("write-action-required")],
    end: "action_required",
  },
  {
    card: "pm_card_visa",
    ...submitted,
    crosses: [...REREAD, ...EXECUTE, ...both("write-success")],
    end: "confirmed",
  },
  {
    card: "pm_sandbox_timeout",
    ...submitted,
    crosses: [...REREAD, "call-execute:before", ...both("write-unknown")],
    end: "confirmed",
  },
  {
    card: "pm_card_chargeDeclined",
    ...submitted,
    crosses: [...REREAD, ...EXECUTE, ...both("write-refusal")],
    end: "refused",
  },
  {
    card: "pm_card_visa",
    died: "call-execute:after",
    crosses: [...REREAD, ...both("write-success")],
    end: "confirmed",
  },
  {
    // Nobody has answered the bank, and the approval's time has passed.
    card: "pm_card_authenticationRequired",
    died: "write-action-required:after",
    crosses: [...REREAD, ...both("call-cancel", "write-refusal")],
    end: "expired",
  },
];
