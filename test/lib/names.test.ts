import { expect, test } from "vitest";
import { brief, isVisible, whole } from "../../src/lib/names.ts";

const BLANK_NAMES = [
  "",
  " ",
  "\u00a0\u2003",
  "\u200b",
  "\u2060\ufeff",
  "\u3164",
  "\u115f\u1160",
  "\uffa0",
  "\u2800",
  "\u00ad",
  "\u202e\u2066",
  "\u{e0041}\u{e0042}",
  "\u0301",
  "\ufe0f",
  "\u0378",
  "\ue000",
];

test.each(BLANK_NAMES)("%j shows nothing, is no name, and says so where it stands all the same", (name) => {
  expect(isVisible(name)).toBe(false);
  for (const shown of [whole(name), brief(name)]) expect(shown).toBe("(blank)");
});

test.each(["a", "7", "#", "مريم", "李", "é", "e\u0301", "🙂", "\u200bx"])("%j can be seen", (name) => {
  expect(isVisible(name)).toBe(true);
});

test("a name within a sentence is short, of one line, and keeps the direction of the text", () => {
  expect(brief(`  Two\n\nlines \u202eand ${"x".repeat(50)}`)).toBe(`Two lines and ${"x".repeat(26)}…`);
  expect([...brief("🙂".repeat(50))]).toHaveLength(41);
  expect(brief("a\u2028b\u0007c")).toBe("a b c");
});
