import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");
const SRC = join(ROOT, "src");
const words = (text: string) => text.split(" ");

/** From the ground up: a file imports from its own folder and from those before it. */
const FOLDERS = words(
  "lib metrics config database jobs mail http audit accounts events sign-in passkeys team contracts billing receipts " +
    "approvals webhooks agent-auth mcp monitoring operator web api-docs app main.ts countersign.mjs stdio verify-receipt.ts",
);
const FEATURES = FOLDERS.slice(FOLDERS.indexOf("audit"), FOLDERS.indexOf("api-docs"));

/** A file of a feature ends in its role. A role imports from its own line and from the lines before it. */
const ROLES = {
  texts: words("schemas mails operations processor roles terms"),
  data: words("store"),
  // Rules are pure, a client calls what is outside; the rest is the one thing that the name says. None knows HTTP.
  parts: words(
    "rules limits wire client assertion background boundaries challenge cookie deps file json keys party passwords " +
      "queue refusals registration report resolver schema signature state to token validators verifier waiters",
  ),
  // A booking is one transaction that writes what a call to the processor came to.
  rules: words("service booking"),
  outside: words(
    "gate routes jobs page pages view words forms section server tools answers caller calls errors paths",
  ),
  kit: words("assets layout locale memberships presence reversals said signing site wording zone"),
};
const FLOORS = [ROLES.texts, ROLES.data, ROLES.parts, ROLES.rules, ROLES.outside];
/** What a feature keeps to itself. */
const PRIVATE = words("store mails jobs routes page pages");

type Import = { from: string; to: string; typeOnly: boolean };

const read = (file: string) => readFileSync(file, "utf8");
const listFiles = (folder: string) =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => /\.(ts|mjs)$/.test(file))
    .sort();
const folderOf = (path: string) => path.split("/", 1)[0] ?? path;
const roleOf = (path: string) => /([a-z]+)\.ts$/.exec(path)?.[1] ?? path;
const floorOf = (path: string) => FLOORS.findIndex((roles) => roles.includes(roleOf(path)));
const inKit = (path: string) => path.startsWith("web/kit/");
const show = (all: readonly Import[]) => all.map(({ from, to }) => `${from} → ${to}`);

/** Every import, export from and `import()` of a file; paths are relative to `src`, packages stay as they are. */
function importsOf(file: string): Import[] {
  const code = read(file).replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
  const statements = [
    ...code.matchAll(/^(?:import|export)\s+(type\s+)?(?:[^;'"]*?\sfrom\s+)?["']([^"']+)["']/gm),
    ...code.matchAll(/\b(import)\(\s*["']([^"']+)["']/g),
  ];
  return statements.map(([, type, target = ""]) => ({
    from: relative(SRC, file),
    to: target.startsWith(".") ? relative(SRC, resolve(dirname(file), target)) : target,
    typeOnly: type?.startsWith("type") ?? false,
  }));
}

const files = listFiles(SRC);
const imports = files.flatMap((file) => importsOf(join(SRC, file)));
const ours = imports.filter(({ to }) => to.endsWith(".ts"));
const features = files.filter((file) => FEATURES.includes(folderOf(file)));
const ofFeatures = ours.filter(({ from, to }) => features.includes(from) && features.includes(to));
const importsByFile = Map.groupBy(imports, ({ from }) => from);

/** All that a file has loaded with it, packages too. */
function reachedBy(file: string, seen = new Set<string>()): Set<string> {
  for (const { to, typeOnly } of importsByFile.get(file) ?? []) {
    if (typeOnly || seen.has(to)) continue;
    seen.add(to);
    reachedBy(to, seen);
  }
  return seen;
}

describe("imports", () => {
  test("this test reads every import statement, and each leads to a file", () => {
    const statements = files
      .flatMap((file) => read(join(SRC, file)).split("\n"))
      .filter((line) => /^(import|export)\b.*from ["']|^} from ["']|^import ["']|import\(["']/.test(line));
    expect(imports).toHaveLength(statements.length);
    expect(show(ours.filter(({ to }) => !files.includes(to)))).toEqual([]);
  });

  test("folders import only from folders before them", () => {
    // check-runtime.mjs runs before anything is known to work, and imports nothing.
    const place = (path: string) => FOLDERS.indexOf(folderOf(path));
    expect(files.filter((file) => place(file) < 0)).toEqual(["check-runtime.mjs"]);
    expect(show(ours.filter(({ from, to }) => place(to) > place(from)))).toEqual([]);
  });

  test("every file of a feature ends in a role", () => {
    const known = (file: string) => floorOf(file) >= 0 || (inKit(file) && ROLES.kit.includes(roleOf(file)));
    expect(features.filter((file) => !known(file))).toEqual([]);
  });

  test("within a feature, a role imports only from roles on its floor or below", () => {
    const within = ofFeatures.filter(({ from, to }) => folderOf(from) === folderOf(to) && !inKit(to));
    expect(show(within.filter(({ from, to }) => floorOf(to) > floorOf(from)))).toEqual([]);
    expect(show(within.filter(({ from, to }) => inKit(from) && !inKit(to)))).toEqual([]);
  });

  test("features and pages never import another feature's stores, mails, jobs, routes or pages", () => {
    const across = ofFeatures.filter(({ from, to }) => folderOf(from) !== folderOf(to));
    expect(show(across.filter(({ to }) => PRIVATE.includes(roleOf(to))))).toEqual([]);
  });

  test("only stores hold SQL", () => {
    const builders = imports.filter(({ from, to }) => features.includes(from) && /^(kysely|pg)$/.test(to));
    expect(show(builders.filter(({ from }) => roleOf(from) !== "store"))).toEqual([]);
  });

  test("stores, parts and services know nothing of HTTP", () => {
    const low = features.filter((file) => !inKit(file) && floorOf(file) < FLOORS.indexOf(ROLES.outside));
    expect(low.length).toBeGreaterThan(100);
    const knows = (to: string) => folderOf(to) === "http" || /^@?fastify/.test(to);
    expect(low.filter((file) => [...reachedBy(file)].some(knows))).toEqual([]);
  });

  test("no import runs in a circle", () => {
    const circles = files.filter((file) => file.endsWith(".ts") && reachedBy(file).has(file));
    expect(circles).toEqual([]);
  });

  test("the stdio program loads no database, no server and none of the service's settings", () => {
    const allowed = /\.ts$|^(node:|@modelcontextprotocol\/server|@sinclair\/typebox|ajv|canonicalize)/;
    const reached = [...reachedBy("stdio/main.ts")];
    expect(reached.filter((to) => !allowed.test(to))).toEqual([]);
    expect(reached).not.toContain("config/config.ts");
    expect([...reachedBy("main.ts")].filter((to) => to.startsWith("stdio/"))).toEqual([]);
  });

  test("the environment is read in one file for each program", () => {
    const readers = files.filter((file) =>
      /\bprocess\s*\.\s*env\b|\benv\b.*= process\b/.test(read(join(SRC, file))),
    );
    expect(readers).toEqual(["check-runtime.mjs", "config/config.ts", "config/stdio-config.ts"]);
  });

  test("migrations import nothing of the application, and are named by their time and a verb", () => {
    const migrations = listFiles(join(ROOT, "migrations"));
    expect(migrations.length).toBeGreaterThan(0);
    const foreign = migrations.flatMap((file) => importsOf(join(ROOT, "migrations", file)));
    expect(show(foreign.filter(({ to }) => to !== "kysely"))).toEqual([]);
    for (const file of migrations) expect(file).toMatch(/^\d{8}T\d{4}_[a-z]+(_[a-z]+)+\.ts$/);
  });
});
