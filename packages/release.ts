import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Prepares a release: `npm run release -- 0.1.0`. Writes the version, a section of the changelog, and the hashes of the
 * migrations, which no later version may change. Commits, tags and publishes nothing (CONTRIBUTING.md, Release).
 */
const VERSION = /^\d+\.\d+\.\d+$/;
const UNRELEASED = "## Unreleased\n";
/** Beside the migrations, in the format of `sha256sum`. Absent until the first release. */
const RELEASED = "released.sha256";

/** What is wrong with a folder of migrations, by what was released of it. */
export type Faults = {
  /** Released, and changed or deleted since. */
  changed: string[];
  /** New, and sorted before a released one: a database that has the released ones would refuse it. */
  late: string[];
};

/** Compares a folder of migrations with the hashes of those that were released. */
export function checkMigrations(folder: string): Faults {
  const released = readReleased(folder);
  const files = listMigrations(folder);
  const newest = [...released.keys()].sort().at(-1) ?? "";
  return {
    changed: [...released]
      .filter(([name, hash]) => !files.includes(name) || hashOf(join(folder, name)) !== hash)
      .map(([name]) => name),
    late: files.filter((name) => !released.has(name) && name < newest),
  };
}

/**
 * Prepares a release in the project at `root`.
 * @param version such as `0.1.0`
 * @param day of the release, as in `2026-11-30`
 * @throws Error when there is nothing to release, or a released migration has changed
 */
export function prepareRelease(root: string, version: string, day: string): void {
  if (!VERSION.test(version)) throw new Error("Usage: npm run release -- 1.2.3");
  const folder = join(root, "migrations");
  const { changed, late } = checkMigrations(folder);
  if (changed.length > 0) throw new Error(`These migrations were released and have changed: ${changed}`);
  if (late.length > 0) throw new Error(`These migrations sort before one that was released: ${late}`);

  const changelog = join(root, "CHANGELOG.md");
  const text = readFileSync(changelog, "utf8");
  if (text.includes(`\n## ${version} `)) throw new Error(`CHANGELOG.md has a section for ${version} already`);
  const [head, list] = text.split(UNRELEASED);
  if (!list?.split("\n## ")[0]?.includes("\n- ")) throw new Error("CHANGELOG.md lists nothing as unreleased");
  writeFileSync(changelog, `${head}${UNRELEASED}\n## ${version} (${day})\n${list}`);

  for (const path of ["package.json", "packages/client/package.json", "package-lock.json"])
    writeVersion(join(root, path), version);
  const lines = listMigrations(folder).map((name) => `${hashOf(join(folder, name))}  ${name}\n`);
  writeFileSync(join(folder, RELEASED), lines.join(""));
}

function writeVersion(path: string, version: string): void {
  const manifest = JSON.parse(readFileSync(path, "utf8"));
  manifest.version = version;
  // A lock file names the root and the workspace once more.
  for (const name of ["", "packages/client"])
    if (manifest.packages?.[name]) manifest.packages[name].version = version;
  writeFileSync(path, `${JSON.stringify(manifest, null, 2)}\n`);
}

function readReleased(folder: string): Map<string, string> {
  const path = join(folder, RELEASED);
  const lines = existsSync(path) ? readFileSync(path, "utf8").trim().split("\n") : [];
  return new Map(
    lines.map((line) => {
      const [hash = "", name = ""] = line.split("  ");
      return [name, hash];
    }),
  );
}

function listMigrations(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".ts"))
    .sort();
}

function hashOf(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

if (import.meta.main) {
  const [version = ""] = process.argv.slice(2);
  try {
    prepareRelease(process.cwd(), version, new Date().toISOString().slice(0, 10));
    console.log(`Prepared ${version}. Next: CONTRIBUTING.md, Release.`);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
