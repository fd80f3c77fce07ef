import { describe, expect, test } from "vitest";
import { formatDeadline, formatTimeLeft } from "../../src/lib/time.ts";
import { amountsIn, readLocale } from "../../src/web/kit/locale.ts";
import {
  amount,
  amountAlone,
  cardName,
  fullStopAfter,
  mentioned,
  named,
  quote,
} from "../../src/web/kit/wording.ts";
import { readZone, timesIn } from "../../src/web/kit/zone.ts";

describe("text of another author", () => {
  test("cannot turn around the text that it stands in", () => {
    expect(named("Ma\u202eria").toString()).toBe("<bdi>Maria</bdi>");
    expect(named("مريم").toString()).toBe("<bdi>مريم</bdi>");
  });

  test("cannot pile up marks over the lines above it", () => {
    expect(named(`a${"\u0301".repeat(50)}`).toString()).toBe(`<bdi>a${"\u0301".repeat(4)}</bdi>`);
  });

  test("is short within a sentence, and whole in the terms", () => {
    const name = "G".repeat(200);
    expect(mentioned(name).toString()).toBe(`<bdi>${"G".repeat(40)}…</bdi>`);
    expect(named(name).toString()).toBe(`<bdi>${name}</bdi>`);
  });

  test.each([
    ["a sentence", "Label 5,000 street scenes", false],
    ["5,000 characters", "a".repeat(5_000), true],
    ["many lines", "a\n".repeat(5), true],
  ])("%s in quotes can be reached with the keyboard if it scrolls", (_name, text, scrolls) => {
    expect(quote(text).toString().includes('tabindex="0" role="region"')).toBe(scrolls);
  });
});

test.each([
  [72 * 3_600_000, "3 days"],
  [35 * 3_600_000, "35 hours"],
  [80 * 60_000, "80 minutes"],
  [20_000, "1 minute"],
])("%d ms left are %s", (milliseconds, said) => {
  expect(formatTimeLeft(milliseconds)).toBe(said);
});

test("a time to act by says its weekday, and its zone", () => {
  const at = new Date("2026-12-03T05:50:00Z");
  expect(formatDeadline(at)).toBe("Thu 3 Dec, 05:50 UTC");
  expect(formatDeadline(at, "America/Los_Angeles")).toBe("Wed 2 Dec, 21:50 UTC-8");
  const page = `<time class="deadline" datetime="${at.toISOString()}">x</time>`;
  expect(timesIn(page, "Asia/Kolkata")).toContain(">Thu 3 Dec, 11:20 UTC+5:30<");
});

describe("A page in the reader's locale", () => {
  const at = new Date("2026-12-03T17:50:00Z");
  const page = `${amount(123_456_789, "usd")} ${amountAlone(5)} <time datetime="${at.toISOString()}">x</time>`;

  test.each([
    [undefined, "$1,234,567.89 USD", "3 December 2026 at 17:50 UTC"],
    ["en", "$1,234,567.89 USD", "3 December 2026 at 17:50 UTC"],
    ["en-US,en;q=0.9", "$1,234,567.89 USD", "December 3, 2026 at 05:50 PM UTC"],
    ["de-DE", "$1.234.567,89 USD", "3 December 2026 at 17:50 UTC"],
    ["fr;q=0.5, hi", "$12,34,567.89 USD", "3 December 2026 at 05:50 pm UTC"],
    ["*", "$1,234,567.89 USD", "3 December 2026 at 17:50 UTC"],
    ["<b>, x-y-z", "$1,234,567.89 USD", "3 December 2026 at 17:50 UTC"],
  ])("for %j has amounts and times in its signs, order and clock", (accepted, sum, time) => {
    const locale = readLocale(accepted);
    const shown = amountsIn(timesIn(page, "UTC", locale), locale).replaceAll("\u202f", " ");
    expect(shown).toContain(`>${sum}<`);
    expect(shown).toContain(`>${time}<`);
    expect(shown).toMatch(/>\$0[.,]05</);
  });

  test("leaves alone what people wrote", () => {
    const text = `&lt;span class="amount"&gt;$1,000.00 USD&lt;/span&gt; $1,000.00 USD`;
    expect(amountsIn(text, "en-DE")).toBe(text);
  });
});

test("a sentence that ends with a name has one full stop", () => {
  expect(["Maria G.", "Acme"].map(fullStopAfter)).toEqual(["", "."]);
});

test("a card is named as its owner knows it", () => {
  expect(cardName({ brand: "visa", last4: "4242" })).toBe("Visa card ending in 4242");
  expect(cardName({ brand: "amex", last4: "0005" })).toBe("American Express card ending in 0005");
});

describe("times", () => {
  const page =
    'a <time datetime="2026-11-25T23:30:00.000Z">x</time> b &lt;time datetime="2026-01-01T00:00:00.000Z"&gt;';

  test.each([
    [undefined, "25 November 2026 at 23:30 UTC"],
    ["a=b; zone=Europe/Madrid", "26 November 2026 at 00:30 UTC+1"],
    ["zone=Asia/Kathmandu; c=d", "26 November 2026 at 05:15 UTC+5:45"],
    ["zone=America/New_York", "25 November 2026 at 18:30 UTC-5"],
    ["zone=Etc/GMT+5", "25 November 2026 at 18:30 UTC-5"],
    ["zone=Nowhere/At_All", "25 November 2026 at 23:30 UTC"],
    ["zone=<b>", "25 November 2026 at 23:30 UTC"],
    ["timezone=Europe/Madrid", "25 November 2026 at 23:30 UTC"],
  ])("with the cookies %j are those of the reader's clock, with its zone said", (cookies, said) => {
    expect(timesIn(page, readZone(cookies))).toBe(
      `a <time datetime="2026-11-25T23:30:00.000Z">${said}</time> b &lt;time datetime="2026-01-01T00:00:00.000Z"&gt;`,
    );
  });
});
