import { execFile } from "node:child_process";
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { promisify } from "node:util";
import { rolldown } from "rolldown";

/**
 * What can be installed without this repository. `npm run build:packages` writes each to `packages/<name>/dist`, as
 * JavaScript for Node 20 and newer, with the `package.json` to publish.
 */
const PACKAGES = [
  {
    name: "client",
    description: "A typed client of Countersign's public API.",
    source: "packages/client/index.ts",
    typed: true,
  },
  {
    name: "mcp",
    description:
      "Countersign's tools for an agent, by the Model Context Protocol on standard input and output.",
    source: "src/stdio/main.ts",
    command: "countersign-mcp",
  },
  {
    name: "verify-receipt",
    description: "Verifies Countersign's receipts offline: who agreed to which terms, and when.",
    source: "src/verify-receipt.ts",
    command: "verify-receipt",
  },
] as const;
type Package = {
  name: string;
  description: string;
  source: string;
  /** Whether others import it, and so need its types. */
  typed?: boolean;
  /** What it is called in a shell. */
  command?: string;
};
type Manifest = { version: string; license: string; dependencies: Record<string, string> };

const ROOT = join(import.meta.dirname, "..");
const PACKAGE_NAME = /^(@[^/]+\/)?[^/]+/;
const HASHBANG = "#!/usr/bin/env node\n";

const readManifest = async (folder: string): Promise<Manifest> =>
  JSON.parse(await readFile(join(ROOT, folder, "package.json"), "utf8"));

/** Bundles our own modules into one file, and leaves packages to be installed. @returns their names */
async function bundle({ source, command }: Package, version: string, target: string): Promise<string[]> {
  const bundle = await rolldown({
    input: join(ROOT, source),
    platform: "node",
    external: (id) => !id.startsWith(".") && !isAbsolute(id),
    plugins: [
      {
        name: "version",
        // It reads the repository's package.json, which is not there.
        load: (id) =>
          id.endsWith("/src/lib/version.ts") ? `export const VERSION = ${JSON.stringify(version)};` : null,
      },
    ],
  });
  const { output } = await bundle.generate({ format: "esm" });
  await bundle.close();
  const [{ code, imports }] = output;
  const hashbang = command === undefined || code.startsWith("#!") ? "" : HASHBANG;
  await writeFile(join(target, "index.js"), hashbang + code, { mode: 0o755 });
  const packages = imports.filter((id) => !id.startsWith("node:"));
  return [...new Set(packages.map((id) => PACKAGE_NAME.exec(id)?.[0] ?? id))].sort();
}

async function writeTypes({ source }: Package, target: string): Promise<void> {
  const options = ["--noEmit", "false", "--emitDeclarationOnly", "--declaration", "--outDir", target];
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  const checks = ["--module", "nodenext", "--target", "esnext", "--strict", "--allowImportingTsExtensions"];
  await promisify(execFile)(
    process.execPath,
    [tsc, "--ignoreConfig", ...checks, "--rewriteRelativeImportExtensions", ...options, source],
    { cwd: ROOT },
  );
}

/** Builds one package. @returns its folder */
async function build(made: Package): Promise<string> {
  const { name, description, typed, command } = made;
  const folder = join(ROOT, "packages", name);
  const target = join(folder, "dist");
  await rm(target, { recursive: true, force: true });
  await mkdir(target);
  const { version, license, dependencies } = await readManifest(".");
  const own = typed ? (await readManifest(`packages/${name}`)).dependencies : {};
  const needed = await bundle(made, version, target);
  if (typed) await writeTypes(made, target);
  const entry = command === undefined ? undefined : { [command]: "./index.js" };
  const manifest = {
    name: `@countersign/${name}`,
    version,
    description,
    license,
    type: "module",
    engines: { node: ">=20" },
    ...(typed && { exports: { types: "./index.d.ts", default: "./index.js" } }),
    ...(entry && { bin: entry }),
    dependencies: Object.fromEntries(needed.map((id) => [id, own[id] ?? dependencies[id]])),
  };
  await writeFile(join(target, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  await copyFile(join(folder, "README.md"), join(target, "README.md"));
  await copyFile(join(ROOT, "LICENSE"), join(target, "LICENSE"));
  return target;
}

for (const made of PACKAGES) console.log(await build(made));
