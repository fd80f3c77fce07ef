import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import { checkMigrations, prepareRelease } from "../../packages/release.ts";

const ROOT = join(import.meta.dirname, "../..");
const NOTHING = { changed: [], late: [] };
const folders: string[] = [];
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

/** A copy of what a release writes. */
async function copyProject(): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), "countersign-release-"));
  folders.push(root);
  await mkdir(join(root, "packages/client"), { recursive: true });
  for (const path of [
    "package.json",
    "package-lock.json",
    "packages/client/package.json",
    "CHANGELOG.md",
    "migrations",
  ])
    await cp(join(ROOT, path), join(root, path), { recursive: true });
  await rm(join(root, "migrations/released.sha256"), { force: true });
  return root;
}

const MIGRATION = "migrations/20261130T0100_create_accounts.ts";

test("no migration that was released has changed, and new ones sort after them", () => {
  expect(checkMigrations(join(ROOT, "migrations"))).toEqual(NOTHING);
});

describe("a release", () => {
  test("writes its version everywhere, a dated section of the changelog, and hashes that sha256sum checks", async () => {
    const root = await copyProject();
    prepareRelease(root, "7.8.9", "2027-01-02");
    const lock = JSON.parse(await readFile(join(root, "package-lock.json"), "utf8"));
    const manifest = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
    const client = JSON.parse(await readFile(join(root, "packages/client/package.json"), "utf8"));
    const versions = [manifest, client, lock, lock.packages[""], lock.packages["packages/client"]];
    expect(versions.map(({ version }) => version)).toEqual(versions.map(() => "7.8.9"));

    const before = await readFile(join(ROOT, "CHANGELOG.md"), "utf8");
    const after = await readFile(join(root, "CHANGELOG.md"), "utf8");
    expect(after).toBe(before.replace("## Unreleased\n", "## Unreleased\n\n## 7.8.9 (2027-01-02)\n"));

    expect(checkMigrations(join(root, "migrations"))).toEqual(NOTHING);
    const check = ["--check", "--strict", "--quiet", "released.sha256"];
    await promisify(execFile)("sha256sum", check, { cwd: join(root, "migrations") });
  });

  test("freezes: a released migration that is changed or deleted, or an older new one, is found", async () => {
    const root = await copyProject();
    prepareRelease(root, "7.8.9", "2027-01-02");
    const folder = join(root, "migrations");
    await writeFile(join(folder, "99991231T2359_next.ts"), "");
    expect(checkMigrations(folder)).toEqual(NOTHING);
    await writeFile(join(folder, "00010101T0000_early.ts"), "");
    expect(checkMigrations(folder)).toEqual({ changed: [], late: ["00010101T0000_early.ts"] });
    await rm(join(folder, "00010101T0000_early.ts"));
    await writeFile(join(root, MIGRATION), `${await readFile(join(root, MIGRATION), "utf8")}\n`);
    await rm(join(folder, "20261130T0106_create_events.ts"));
    const changed = ["20261130T0100_create_accounts.ts", "20261130T0106_create_events.ts"];
    expect(checkMigrations(folder)).toEqual({ changed, late: [] });
    await writeFile(join(root, "CHANGELOG.md"), "# Changelog\n\n## Unreleased\n\n- Something.\n");
    expect(() => prepareRelease(root, "7.8.10", "2027-01-03")).toThrow("were released and have changed");
  });

  test("is refused without anything to release, twice under one version, and without a version", async () => {
    const root = await copyProject();
    prepareRelease(root, "7.8.9", "2027-01-02");
    expect(() => prepareRelease(root, "7.9.0", "2027-01-02")).toThrow("lists nothing as unreleased");
    expect(() => prepareRelease(root, "7.8.9", "2027-01-02")).toThrow("has a section for 7.8.9 already");
    expect(() => prepareRelease(root, "next", "2027-01-02")).toThrow("Usage: npm run release -- 1.2.3");
  });
});
