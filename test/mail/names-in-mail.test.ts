import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import * as linkify from "linkifyjs";
import { describe, expect, expectTypeOf, test } from "vitest";
import { line, type MailLine, named, own } from "../../src/mail/line.ts";
import type { Mail } from "../../src/mail/service.ts";

const ROOT = join(import.meta.dirname, "../..");
const written = (name: string): string => named(name).toString();

/** What a mail client would turn into links. */
const linksIn = (text: string): string[] => linkify.find(text).map(({ value }) => value);

describe("a user-supplied name in a mail", () => {
  test.each([
    ["https://evil.example/x", "“https: //evil. example/x”"],
    ["www.evil.example", "“www. evil. example”"],
    ["a.b/c", "“a. b/c”"],
    ["pay@evil.example", "“pay@ evil. example”"],
    ["mailto:pay@evil.example", "“mailto: pay@ evil. example”"],
    ["evil。example", "“evil。 example”"],
    ["Acme Inc.", "“Acme Inc.”"],
    ["J. R. Smith, Ltd. & Co", "“J. R. Smith, Ltd. & Co”"],
    ["Wait... what?", "“Wait... what?”"],
    ["Ma\u202eria\u2066 \u0007 G.", "“Maria G.”"],
    ["Two\n\nlines", "“Two lines”"],
    ["ok”, approved by Ada. “x", "“ok', approved by Ada. 'x”"],
    ["\u200b", "“(blank)”"],
    ["x".repeat(200), `“${"x".repeat(40)}…”`],
  ])("%j reads %s", (name, text) => {
    expect(written(name)).toBe(text);
    expect(linksIn(`A passkey of ${written(name)} was added.`)).toEqual([]);
  });

  test("is never a link, whatever it is made of", () => {
    // The linkifier that stands for mail clients finds links at all.
    expect(linksIn("See https://evil.com/x or www.evil.com or a@evil.com.")).toHaveLength(3);
    const pieces = [
      "https://",
      "www.",
      "evil",
      ".",
      "com",
      "example",
      "/x",
      "@",
      ":",
      " ",
      "\u200d",
      "\u2060",
      "。",
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 12 }), (parts) => {
        expect(linksIn(`By ${written(parts.join(""))}.`)).toEqual([]);
      }),
    );
  });
});

describe("a mail", () => {
  test("takes no plain string: one does not compile", () => {
    expectTypeOf<string>().not.toExtend<Mail["subject"]>();
    expectTypeOf<string[]>().not.toExtend<Mail["paragraphs"]>();
    expectTypeOf<string>().not.toExtend<Parameters<typeof line>[1]>();
    expectTypeOf<{ toString(): string }>().not.toExtend<MailLine>();
    expect(line`${named("Ada")} paid ${2} times, at ${own("9")}`.toString()).toBe("“Ada” paid 2 times, at 9");
  });

  test("calls its own only what the service made: no name goes around the rule", () => {
    const files = globSync("src/**/*.ts", { cwd: ROOT }).filter((file) => file !== "src/mail/line.ts");
    const uses = files.flatMap((file) => {
      const text = readFileSync(join(ROOT, file), "utf8");
      if (!/from "[./]*\/mail\/line\.ts"/.test(text)) return [];
      return [...text.matchAll(/\bown\(((?:[^()]|\([^()]*\))*)\)/g)].map(([, value = ""]) => value);
    });
    expect(uses.length).toBeGreaterThan(20);
    const OURS =
      /^(?:appName|(?:before\.|asker\.)?preview|tokenPreview|may|role|describeScopes\(scopes\)|(?:to|from) \?\? "\(none\)"|registrationId|words|format(?:Amount|Time|Deadline)\([^()]*\)|cardName\([^()]*\)|label|near|address|at|reason \?\? "[^"]*"|`\$\{publicUrl\}[^`]*`|(?:one|count === 1) \? `\$\{publicUrl\}[^`]*` : `\$\{publicUrl\}[^`]*`)$/;
    expect(uses.filter((value) => !OURS.test(value))).toEqual([]);
  });
});
