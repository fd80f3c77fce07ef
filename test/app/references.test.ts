import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const PROJECT = join(import.meta.dirname, "..", "..");
const read = (file: string) => readFileSync(join(PROJECT, file), "utf8");
const list = (...patterns: string[]) => {
  const found = globSync(patterns, { cwd: PROJECT, exclude: ["**/node_modules/**"] });
  return found.sort();
};

const CODE = list("{src,test,migrations,bench,client}/**/*.{ts,js,mjs,css,sql}");
const DOCUMENTS = list("*.md", "docs/**/*.md", "src/**/*.md");
const DESIGN = read("docs/design.md");
const REFERRED: Record<string, string> = { contract: read("docs/contract.md"), design: DESIGN };

/**
 * What follows the document's name and says where in it: `CONTRACT.md §1, Two people`, `docs/contract.md §6, §7`,
 * `DESIGN.md, invariants 6 and 11`, `docs/design.md, Paying`.
 */
const ANCHOR = /^,? (?:§(\d+)|invariants?((?: \d+| and \d+)*)|(`[^`]+`)|([A-Z][a-z]+))/;

/** Whether a document has the section, the invariant or the code that an anchor names. */
function leadsSomewhere(document: string, anchor: RegExpExecArray): boolean {
  const [, section, invariants, code, title] = anchor;
  const heading = (start: string) =>
    document.includes(`\n## ${start}`) || document.includes(`\n### ${start}`);
  if (section !== undefined) return heading(`${section}. `);
  if (code !== undefined) return document.includes(code);
  if (title !== undefined) return heading(title);
  const numbers = [...(invariants ?? "").matchAll(/\d+/g)];
  return heading("Invariants") && numbers.every(([number]) => document.includes(`\n| ${number} | `));
}

/** The references to the contract and the design in a text that lead nowhere. */
function deadReferences(text: string): string[] {
  const oneLine = text.replaceAll(/\n\s*(?:\*|\/\/|--)? ?/g, " ");
  return [...oneLine.matchAll(/\b(?:docs\/(contract|design)|(CONTRACT|DESIGN))\.md/g)].flatMap((match) => {
    const [name, today, capitals = ""] = match;
    const document = REFERRED[today ?? capitals.toLowerCase()] ?? "";
    const dead: string[] = [];
    let rest = oneLine.slice(match.index + name.length);
    for (let anchor = ANCHOR.exec(rest); anchor !== null; anchor = ANCHOR.exec(rest)) {
      if (!leadsSomewhere(document, anchor)) dead.push(`${name}${anchor[0]}`);
      rest = rest.slice(anchor[0].length);
    }
    return dead;
  });
}

test("each reference in the code to the contract or the design leads to a section or an invariant", () => {
  const references =
    CODE.map(read)
      .join("\n")
      .match(/(?:contract|design)\.md/gi) ?? [];
  expect(references.length).toBeGreaterThan(100);
  expect(CODE.flatMap((file) => deadReferences(read(file)).map((dead) => `${file}: ${dead}`))).toEqual([]);
});

test("a reference to a section or an invariant that does not exist is reported", () => {
  const [contract, design] = ["docs/contract", "docs/design"].map((name) => `${name}.md`);
  const invariants = ["invariants", 6, "and", 15].join(" ");
  const text = `/* ${contract} §1, §9), ${contract} §1, Three people),
    * ${design}, ${invariants}), ${design},
    * Playing), ${contract} §6, \`GET /auth/you\`), ${design}, Paying */`;
  expect(deadReferences(text).map((dead) => dead.replace(/^\S+ /, ""))).toEqual([
    "§9",
    "Three",
    invariants,
    "Playing",
    "`GET /auth/you`",
  ]);
});

test("each invariant that a comment names by its number is in docs/design.md", () => {
  const named = CODE.flatMap((file) =>
    [...read(file).matchAll(/\binvariants? (\d+)(?: and (\d+))?/g)].flatMap(([, ...numbers]) =>
      numbers.filter((number) => number !== undefined).map((number) => ({ file, number })),
    ),
  );
  expect(named.length).toBeGreaterThan(10);
  expect(named.filter(({ number }) => !DESIGN.includes(`\n| ${number} | `))).toEqual([]);
});

test("each document that a comment names exists", () => {
  const named = CODE.flatMap((file) =>
    [...read(file).matchAll(/\b(docs\/[\w/-]+|README|ARCHITECTURE|CONTRIBUTING|SECURITY)\.md\b/g)].map(
      ([path]) => ({ file, path }),
    ),
  );
  expect(named.length).toBeGreaterThan(0);
  expect(named.filter(({ path }) => !existsSync(join(PROJECT, path)))).toEqual([]);
});

/** The lines of prose, lists and tables that stand twice in a document. Code blocks and the heads of tables are left out. */
function repeatedLines(text: string): string[] {
  const lines = text
    .replaceAll(/^```[\s\S]*?^```/gm, "")
    .replaceAll(/^\|.*\n\|[|:\s-]+\|$/gm, "")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line.length > 20);
  return lines.filter((line, index) => lines.indexOf(line) !== index);
}

test("no line of more than 20 characters stands twice in one document", () => {
  const repeated = DOCUMENTS.flatMap((file) => repeatedLines(read(file)).map((line) => `${file}: ${line}`));
  expect(repeated).toEqual([]);
});

test("a line that stands twice in a document is reported, unless it is code or the head of a table", () => {
  const twice = "The same sentence, written twice.";
  const code = "```sh\nnpm run a-long-command-line\nnpm run a-long-command-line\n```";
  const head = "| a long name | another long name |\n|---|---|\n| one | two |";
  const text = [twice, code, head, twice, code, head].join("\n\n");
  expect(repeatedLines(text)).toEqual([twice]);
});

test("ARCHITECTURE's table of likely changes names files that exist, and stands in its first 80 lines", () => {
  const lines = read("ARCHITECTURE.md").split("\n");
  const [start, end] = ["## To change X, open Y", "## Folders"].map((heading) => lines.indexOf(heading));
  expect(end).toBeLessThan(80);
  const table = lines.slice(start, end).filter((line) => line.startsWith("| "));
  expect(table.length).toBeGreaterThan(30);
  const files = table.flatMap((line) =>
    [...line.matchAll(/`([\w./*-]+\/[\w./*-]*)`/g)].map(([, file = ""]) => file),
  );
  expect(files.length).toBeGreaterThan(40);
  expect(files.filter((file) => globSync(file, { cwd: PROJECT }).length === 0)).toEqual([]);
});

test("documents stay within their length", () => {
  const bytes = (file: string) => Buffer.byteLength(read(file));
  expect(bytes("ARCHITECTURE.md")).toBeLessThanOrEqual(12_000);
  expect(bytes("README.md")).toBeLessThanOrEqual(10_000);
  const short = list("docs/decisions/0*.md", "src/**/README.md");
  expect(short.length).toBeGreaterThan(30);
  expect(short.filter((file) => read(file).split("\n").length > 26)).toEqual([]);
});
