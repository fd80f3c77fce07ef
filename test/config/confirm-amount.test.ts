import { expect, test } from "vitest";
import { loadConfig } from "../../src/config/config.ts";
import { serviceEnvironment } from "../support/service.ts";

const load = (value?: string) =>
  loadConfig({
    ...serviceEnvironment("postgres://db.example.com/pay"),
    ...(value === undefined ? {} : { CONFIRM_AMOUNT_FROM: value }),
  }).confirmAmountFromCents;

test.for([
  [undefined, 100_000],
  ["", 100_000],
  ["1000", 100_000],
  ["1000.00", 100_000],
  ["249.5", 24_950],
  ["0", 0],
  ["0.01", 1],
  ["1000000.00", 100_000_000],
] as const)("CONFIRM_AMOUNT_FROM %j is %d cents", ([value, cents]) => expect(load(value)).toBe(cents));

test.for(["1,000.00", "1.000,00", "1.000", "$1000", "-1", "1e3", "1000000.01", "lots"])(
  "CONFIRM_AMOUNT_FROM %j is refused, in a line that says what would do",
  (value) => {
    expect(() => load(value)).toThrow(
      `CONFIRM_AMOUNT_FROM must be an amount from 0 to 1000000.00, such as 1000.00, not ${value}`,
    );
  },
);
