import { glob, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";

const TEST = join(import.meta.dirname, "..");
/** A clock, a variable, certificates or a prototype: a process has each of them once. */
const CHANGES_PROCESS =
  /vi\.useFakeTimers\(|vi\.stubEnv\(|vi\.stubGlobal\(|vi\.(do)?[mM]ock\(|process\.env\.\w+ = |setDefaultCACertificates\(|spyOn\([\w.]+\.prototype|listenToQueries\(/;

test("A test file that changes what its whole process has but once ends in .alone.test.ts, and no other does", async () => {
  const files = (await Array.fromAsync(glob("**/*.test.ts", { cwd: TEST }))).sort();
  expect(files.length).toBeGreaterThan(100);
  const changing: string[] = [];
  for (const file of files)
    if (CHANGES_PROCESS.test(await readFile(join(TEST, file), "utf8"))) changing.push(file);
  // This file names what it looks for.
  const expected = changing.filter((file) => file !== "architecture/projects.test.ts");
  expect(files.filter((file) => file.endsWith(".alone.test.ts"))).toEqual(expected);
});
