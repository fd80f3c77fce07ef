import { describe, expect, test } from "vitest";
import { typedAmountFault } from "../../src/web/approvals/typed-amount-rules.ts";

const THOUSAND = { amountCents: 100_000, currency: "usd" };
const LARGE = { amountCents: 123_456_789, currency: "usd" };

describe("an amount that is typed", () => {
  test.each([
    "1000",
    "1000.0",
    "1000.00",
    "1000,00",
    "1,000",
    "1,000.00",
    "1.000,00",
    "1 000",
    "1 000,00",
    "1\u00a0000.00",
    "1\u202f000,00",
    "1'000.00",
    "1’000.00",
    "$1,000.00",
    "$ 1000",
    "1000 $",
    "1000$",
    "US$1,000.00",
    "USD 1000",
    "usd 1.000,00",
    "1,000.00 USD",
    "$1,000.00 USD",
    "  $1,000.00 usd ",
    "１０００",
  ])("%j is $1,000.00", (text) => expect(typedAmountFault(text, THOUSAND)).toBeUndefined());

  test.each(["1234567.89", "1,234,567.89", "1.234.567,89", "1 234 567,89", "$1,234,567.89 USD"])(
    "%j is $1,234,567.89",
    (text) => expect(typedAmountFault(text, LARGE)).toBeUndefined(),
  );

  test("1.000 is refused as it can be read in two ways, and 1.000.000 is not", () => {
    expect(typedAmountFault("1.000", THOUSAND)).toMatch(/two ways.*\$1,000\.00 USD/);
    expect(typedAmountFault("$1.000", THOUSAND)).toMatch(/two ways/);
    expect(typedAmountFault("1.000.000", { ...THOUSAND, amountCents: 100_000_000 })).toBeUndefined();
  });

  test.each([
    ["100", "$100.00 USD"],
    ["10000", "$10,000.00 USD"],
    ["1,00", "$1.00 USD"],
    ["1000.01", "$1,000.01 USD"],
    ["0", "$0.00 USD"],
  ])("%j is another amount, and is said back", (text, said) =>
    expect(typedAmountFault(text, THOUSAND)).toContain(`You typed ${said}`),
  );

  test.each([
    "one thousand",
    "-1000",
    "1,000.000",
    "1,00,000",
    "10,00.00",
    "1 0 0 0",
    "1000.",
    ".00",
    "1000.000",
    "€1000",
    "1000 EUR",
    "1e3",
    "0x3e8",
    "1000;",
    "1,000,00",
    "9".repeat(30),
    "$$1000",
  ])("%j does not read as an amount", (text) =>
    expect(typedAmountFault(text, THOUSAND)).toContain("does not read as an amount"),
  );

  test("may be grouped as the reader groups, and what they could read in two ways is refused", () => {
    const fault = (text: string, amountCents: number, locale: string) =>
      typedAmountFault(text, { amountCents, currency: "usd" }, locale);
    expect(fault("12,34,567.89", 123_456_789, "en-IN")).toBeUndefined();
    expect(fault("1,00,000", 10_000_000, "en-IN")).toBeUndefined();
    expect(fault("1,000", 100_000, "en-IN")).toBeUndefined();
    expect(fault("1.234.567,89", 123_456_789, "en-DE")).toBeUndefined();
    expect(fault("1.000,00", 100_000, "en-DE")).toBeUndefined();
    expect(fault("1'234'567.89", 123_456_789, "en-CH")).toBeUndefined();
    for (const typed of ["1.000", "1,000"])
      expect(fault(typed, 100_000, "en-DE")).toMatch(/two ways.*\$1\.000,00 USD/);
    expect(fault("1.000", 100_000, "en-IN")).toMatch(/two ways/);
    expect(fault("100", 100_000, "en-IN")).toContain("You typed $100.00 USD");
  });

  test.each([undefined, "", "  ", "$", "USD"])("%j is none", (text) =>
    expect(typedAmountFault(text, THOUSAND)).toMatch(/^Type the amount in full: \$1,000\.00 USD/),
  );
});
