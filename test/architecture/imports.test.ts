import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");
const SRC = join(ROOT, "src");

/** Each folder may import from those before it, and from itself. */
const LAYERS = [
  "lib",
  "config",
  "database",
  "jobs",
  "mail",
  "http",
  "audit",
  "accounts",
  "sign-in",
  "sessions",
  "team",
  "events",
  "contracts",
  "billing",
  "receipts",
  "approvals",
  "webhooks",
  "agent-auth",
  "mcp",
  "operator",
  "web",
  "app",
  "main.ts",
  "countersign.mjs",
  "stdio",
  "verify-receipt.ts",
];
const FEATURES = LAYERS.slice(LAYERS.indexOf("audit"), LAYERS.indexOf("web"));

/**
 * The files of a feature by their role, from the ground up: each may import those of a lower rank. Names that
 * are not roles stand at the rank of what they do.
 */
const ROLES: Record<string, number> = {
  schemas: 0,
  tools: 0,
  "self-contained": -1,
  "request-state": 0,
  // What the feature asks of the world outside, and those that answer it.
  processor: 0,
  seam: 2,
  declines: 0,
  store: 1,
  sandbox: 2.7,
  stripe: 3,
  // A receipt's signature and the keys that make it; what those who check one go by.
  envelope: 0,
  "strict-json": 0,
  "key-file": 2,
  shape: 1,
  signers: 1.5,
  checks: 2,
  verifier: 3,
  report: 4,
  // Rules and shapes without a database of their own: rows in, decisions or the wire's objects out.
  // What sign-in is made of.
  mails: 0,
  "return-to": 0,
  cookie: 0,
  "relying-party": 0,
  assertion: 1,
  keys: 1,
  passwords: 0,
  "password-rules": 0,
  "password-queue": 0,
  background: 0,
  "form-token": 2,
  attempts: 2,
  "device-cookie": 2,
  actor: 2,
  sessions: 2.5,
  challenge: 2,
  registration: 1.2,
  "signed-act": 4.5,
  members: 5,
  trust: 2,
  invitations: 5,
  resets: 4,
  "passkey-use": 1.5,
  "passkey-answer": 4,
  passkeys: 6,
  "passkey-sign-in": 5,
  "passkey-trust": 5,
  // What agent authentication refuses, limits and tells apart.
  refusals: 0,
  limits: 2,
  claim: 2,
  "poll-service": 4,
  errors: 4,
  boundaries: 0,
  terms: 0,
  access: 2,
  // What the operator did, recorded and mailed.
  acts: 2,
  answers: 2,
  booking: 2,
  // A milestone's money on its way out of a processor, and how it is booked.
  outgoing: 2.5,
  steps: 2.1,
  charge: 2.3,
  sending: 2.3,
  payout: 2.3,
  refund: 2.3,
  refusal: 2.3,
  funding: 2,
  pricing: 2,
  merge: 2,
  wire: 2,
  "token-uses": 2,
  // How a webhook is signed, where it may go, and the way there.
  signature: 0,
  target: 0,
  resolver: 1,
  exchange: 2,
  client: 3,
  // When a delivery is tried again, and who sends what is due.
  // What members do about webhooks, on pages.
  "by-hand": 4,
  // What tokens do to tokens and webhooks.
  "by-token": 4,
  schedule: 0,
  dispatch: 4,
  waiters: 2,
  service: 3,
  // A member requests as a token does.
  "person-request-service": 3.2,
  // A payment on its way, those who decide about one, and those who are told.
  submission: 2.2,
  "second-signer": 2,
  payment: 3,
  attempt: 3.5,
  decide: 4,
  reversals: 3,
  returns: 3,
  "processor-events": 4,
  notices: 3,
  // A tool's call, and the protocol around it.
  calls: 3,
  server: 4,
  // What stands before routes.
  gate: 4,
  routes: 5,
  jobs: 5,
  page: 5,
};
/** What a feature shows to the others. */
const SHOWN = [
  "service",
  "schemas",
  "gate",
  "access",
  "assertion",
  "signed-act",
  "waiters",
  "processor",
  "declines",
  "sandbox",
  "seam",
];
/** What knows nothing of HTTP. */
const BELOW_HTTP = [
  "schemas",
  "processor",
  "declines",
  "sandbox",
  "stripe",
  "store",
  "funding",
  "pricing",
  "merge",
  "wire",
  "token-uses",
  "waiters",
  "refusals",
  "limits",
  "claim",
  "boundaries",
  "terms",
  "booking",
  "steps",
  "charge",
  "sending",
  "submission",
  "outgoing",
  "seam",
  "payment",
  "attempt",
  "second-signer",
  "reversals",
  "returns",
  "processor-events",
  "decide",
  "notices",
  "signature",
  "target",
  "resolver",
  "exchange",
  "client",
  "schedule",
  "dispatch",
  "service",
];

type Import = { from: string; to: string; typeOnly: boolean };

const read = (file: string) => readFileSync(file, "utf8");
const listFiles = (folder: string) =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => /\.(ts|mjs)$/.test(file))
    .map((file) => join(folder, file))
    .sort();

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

const folderOf = (path: string) => path.split("/", 1)[0] ?? path;
/** The last word of a name, where that is a role: a feature may have several stores, each named by what it holds. */
const roleOf = (path: string) => {
  const name = path.split("/").at(-1)?.replace(/\.ts$/, "") ?? path;
  return ROLES[name] === undefined ? (name.split("-").at(-1) ?? name) : name;
};
const isOurs = ({ to }: Import) => to.endsWith(".ts");
const show = (all: Import[]) => all.map(({ from, to }) => `${from} → ${to}`);

const files = listFiles(SRC);
const imports = files.flatMap(importsOf);
const ours = imports.filter(isOurs);
const within = ours.filter(({ from, to }) => folderOf(from) === folderOf(to));
const across = ours.filter(({ from, to }) => folderOf(from) !== folderOf(to));

const atRuntime = Map.groupBy(
  imports.filter(({ typeOnly }) => !typeOnly),
  ({ from }) => from,
);

/** All that a file has loaded with it, packages too, by whatever way round. */
function reachedBy(file: string, seen = new Set<string>()): Set<string> {
  for (const { to } of atRuntime.get(file) ?? []) {
    if (seen.has(to)) continue;
    seen.add(to);
    reachedBy(to, seen);
  }
  return seen;
}

describe("imports", () => {
  test("are all found: as many as there are statements", () => {
    const statements = files
      .flatMap((file) => read(file).split("\n"))
      .filter((line) => /^(import|export)\b.*from ["']|^} from ["']|^import ["']|import\(["']/.test(line));
    expect(imports).toHaveLength(statements.length);
    expect(ours.length).toBeGreaterThan(150);
  });

  test("lead to files that are there", () => {
    const known = new Set(files.map((file) => relative(SRC, file)));
    expect(show(ours.filter(({ to }) => !known.has(to)))).toEqual([]);
  });

  test("point one way between folders, and every folder has its place", () => {
    const folders = [...new Set(files.map((file) => folderOf(relative(SRC, file))))];
    // Run before anything is known to work, and imports nothing.
    const placed = [...LAYERS, "check-runtime.mjs"];
    expect(folders.filter((folder) => !placed.includes(folder))).toEqual([]);
    const backward = across.filter(
      ({ from, to }) => LAYERS.indexOf(folderOf(to)) >= LAYERS.indexOf(folderOf(from)),
    );
    expect(show(backward)).toEqual([]);
  });

  test("point one way within a feature, and every file of one has its role", () => {
    const inFeatures = files
      .map((file) => relative(SRC, file))
      .filter((file) => FEATURES.includes(folderOf(file)));
    expect(inFeatures.filter((file) => ROLES[roleOf(file)] === undefined)).toEqual([]);
    const backward = within
      .filter(({ from }) => FEATURES.includes(folderOf(from)))
      .filter(({ from, to, typeOnly }) => {
        const climb = (ROLES[roleOf(to)] ?? 0) - (ROLES[roleOf(from)] ?? 0);
        // Two stores of one feature may share the type of a row.
        return typeOnly ? climb > 0 : climb >= 0;
      });
    expect(show(backward)).toEqual([]);
  });

  test("between features take only what a feature shows: its service, schemas and gates", () => {
    const hidden = across
      .filter(({ from, to }) => FEATURES.includes(folderOf(from)) && FEATURES.includes(folderOf(to)))
      .filter(({ to }) => !SHOWN.includes(roleOf(to)));
    expect(show(hidden)).toEqual([]);
  });

  test("keep stores and services free of HTTP, by whatever way round", () => {
    const low = files
      .map((file) => relative(SRC, file))
      .filter((file) => FEATURES.includes(folderOf(file)) && BELOW_HTTP.includes(roleOf(file)));
    expect(low.length).toBeGreaterThan(10);
    const reaching = low.filter((file) => [...reachedBy(file)].some((to) => folderOf(to) === "http"));
    expect(reaching).toEqual([]);
    const direct = imports.filter(({ from }) => low.includes(from));
    expect(show(direct.filter(({ to }) => folderOf(to) === "http" || /^@?fastify/.test(to)))).toEqual([]);
  });

  test("keep the stdio program free of the service: it has no database, no server and none of its secrets", () => {
    const foreign = [...reachedBy("stdio/main.ts")].filter(
      (to) =>
        !to.endsWith(".ts") &&
        !/^(node:|@modelcontextprotocol\/server|@sinclair\/typebox|ajv|canonicalize)/.test(to),
    );
    expect(foreign).toEqual([]);
    expect([...reachedBy("stdio/main.ts")]).not.toContain("config/config.ts");
    expect([...reachedBy("main.ts")].filter((to) => to.startsWith("stdio/"))).toEqual([]);
  });

  test("never run in a circle", () => {
    const targets = Map.groupBy(ours, ({ from }) => from);
    const done = new Set<string>();
    const circles: string[] = [];
    const visit = (file: string, path: string[]): void => {
      if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(" → "));
      if (done.has(file) || path.includes(file)) return;
      for (const { to } of targets.get(file) ?? []) visit(to, [...path, file]);
      done.add(file);
    };
    for (const file of files) visit(relative(SRC, file), []);
    expect(circles).toEqual([]);
  });

  test("leave SQL to stores: no service, route or page imports the query builder", () => {
    const builders = imports.filter(
      ({ from, to }) => FEATURES.includes(folderOf(from)) && /^(kysely|pg)$/.test(to),
    );
    expect(show(builders.filter(({ from }) => !["store", "sandbox"].includes(roleOf(from))))).toEqual([]);
  });
});

describe("the environment", () => {
  test("is read in one file for each program, and by the check that npm runs before TypeScript can be", () => {
    const readers = files.filter((file) => /\bprocess\s*\.\s*env\b|\benv\b.*= process\b/.test(read(file)));
    expect(readers.map((file) => relative(SRC, file))).toEqual([
      "check-runtime.mjs",
      "config/config.ts",
      "config/stdio-config.ts",
    ]);
    const early = imports.filter(({ from }) => from === "check-runtime.mjs");
    expect(early.filter(({ to }) => !to.startsWith("node:"))).toEqual([]);
  });
});

describe("migrations", () => {
  const migrations = listFiles(join(ROOT, "migrations"));

  test("import nothing of the application, as they are frozen and it is not", () => {
    expect(migrations.length).toBeGreaterThan(0);
    expect(show(migrations.flatMap(importsOf).filter(({ to }) => to !== "kysely"))).toEqual([]);
  });

  test("are named by their time and a verb, in an order that never changes", () => {
    for (const file of migrations) expect(file).toMatch(/\/\d{8}T\d{4}_[a-z]+(_[a-z]+)+\.ts$/);
  });
});
