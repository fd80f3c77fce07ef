import { execFile, spawn } from "node:child_process";
import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { programEnvironment } from "../support/program-env.ts";

const PROJECT = join(import.meta.dirname, "..", "..");
/** All but the guide that names files which its reader writes. */
const DOCUMENTS = globSync(["*.md", "docs/**/*.md", "src/**/*.md"], {
  cwd: PROJECT,
  exclude: ["docs/webhooks.md"],
}).sort();
const FOLDERS = readdirSync(PROJECT);
const read = (file: string): string => readFileSync(join(PROJECT, file), "utf8");
const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port is free");
  return address.port;
}

/** What a pattern finds in each document, by its first group. */
const inDocuments = (pattern: RegExp) =>
  DOCUMENTS.flatMap((file) => [...read(file).matchAll(pattern)].map(([, name = ""]) => ({ file, name })));

describe("what the documents name", () => {
  test("every npm script that a document names exists", () => {
    const known = new Set([
      ...Object.keys(scripts),
      "ci",
      "run",
      "install",
      "brought",
      "brings",
      "scripts",
      "pack",
    ]);
    const named = inDocuments(/npm (?:run )?(start|test|[a-z:]+)\b/g);
    expect(named.filter(({ name }) => !known.has(name))).toEqual([]);
  });

  test("every path that a document names exists", () => {
    const nested = readdirSync(join(PROJECT, "src"), { recursive: true, encoding: "utf8" });
    const exists = (path: string) =>
      [path, `src/${path}`, ...FOLDERS.map((folder) => `${folder}/${path}`)].some((place) =>
        existsSync(join(PROJECT, place)),
      ) || nested.some((name) => name.endsWith(`/${path}`));
    const named = inDocuments(/`((?:[\w.-]+\/)*[\w.-]+\.(?:ts|mjs|md|json|yml))(?::[^`]*)?`/g);
    expect(named.length).toBeGreaterThan(100);
    expect(named.filter(({ name }) => !exists(name))).toEqual([]);
  });

  test("every link between documents leads to a file that exists", () => {
    const links = inDocuments(/\]\((?!https?:)([^)#]+)/g);
    expect(links.length).toBeGreaterThan(50);
    expect(links.filter(({ file, name }) => !existsSync(join(PROJECT, dirname(file), name)))).toEqual([]);
  });

  test("every link to a section of a document leads to a heading there", () => {
    const anchors = inDocuments(/\]\((?!https?:)([^)#]*#[^)]+)\)/g);
    const headings = (file: string) =>
      [...read(file).matchAll(/^#+ (.+)$/gm)].map(([, title = ""]) =>
        title
          .toLowerCase()
          .replaceAll(/[^\w\s-]/g, "")
          .trim()
          .replaceAll(" ", "-"),
      );
    const dead = anchors.filter(({ file, name }) => {
      const [path = "", section = ""] = name.split("#");
      return !headings(path === "" ? file : join(dirname(file), path)).includes(section);
    });
    expect(dead).toEqual([]);
  });
});

describe("the README's two commands", () => {
  test("are the ones that .ci/run runs", () => {
    const readme = read("README.md");
    expect(readme).toContain("\nnpm ci && npm start\n");
    expect(readme).toContain("\nnpm ci && npm test\n");
    const run = read(".ci/run").split("\n");
    for (const command of ["npm ci", "npm run check"]) expect(run).toContain(command);
    for (const command of ["npm test", "npm run test:long"])
      expect(run.filter((line) => line.startsWith(`${command} `))).toHaveLength(1);
  });

  test("npm start prints a curl line that answers 202 as pasted, and the same bytes again; then it stops cleanly", async () => {
    const dataDir = await mkdtemp(join(tmpdir(), "countersign-readme-"));
    const port = await freePort();
    const child = spawn("npm", ["start"], {
      cwd: PROJECT,
      env: { ...programEnvironment(), HOME: process.env.HOME, DATA_DIR: dataDir, PORT: String(port) },
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let printed = "";
    const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
    try {
      const line = await new Promise<string>((resolve, reject) => {
        const look = (text: Buffer): void => {
          printed += text;
          const found = /^curl .*$/m.exec(printed)?.[0];
          if (found !== undefined) resolve(found);
        };
        child.stdout.on("data", look);
        child.stderr.on("data", look);
        child.once("exit", () => reject(new Error(`npm start ended: ${printed}`)));
      });
      const paste = () => promisify(execFile)("sh", ["-c", `${line} -s -w '\\n%{http_code}'`]);
      const [first, second] = [await paste(), await paste()];
      expect(first.stdout).toMatch(/"status":"pending".*\n202$/s);
      expect(second.stdout).toBe(first.stdout);
    } finally {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGTERM");
      await exited;
      await rm(dataDir, { recursive: true, force: true, maxRetries: 5 });
    }
  }, 90_000);
});
