import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { describe, expect, test } from "vitest";
import { type Kept, openTokenFile } from "../../src/stdio/token-file.ts";
import { newHome, tokenPath } from "./programs.ts";

const url = "https://pay.example.com";
const kept = (token: string, more: object = {}): Kept => ({
  url,
  registrationId: "r-1",
  token: `ot_pat_${token}`,
  scopes: [],
  ...more,
});

/** A token file that is there, in a folder of its own. */
async function keepOne() {
  const home = await newHome();
  const folder = `${home}/countersign`;
  const file = openTokenFile(folder, url);
  expect(await file.replace(undefined, kept("first"))).toBe(true);
  expect(file.read()).toEqual(kept("first"));
  expect(file.path).toBe(tokenPath(home, url));
  return { home, folder, file };
}

describe("a kept token", () => {
  test("is not there before it is kept, and nothing is made by looking", async () => {
    const home = await newHome();
    const file = openTokenFile(`${home}/deep/er`, url);
    expect(file.read()).toBeUndefined();
    expect(readdirSync(home)).toEqual([]);
    file.prepare();
    expect(file.read()).toBeUndefined();
    expect(readdirSync(`${home}/deep/er`)).toEqual([]);
  });

  test.each(["640", "604", "620", "610", "777"])("is not read from a file of mode %s", async (mode) => {
    const { file } = await keepOne();
    chmodSync(file.path, Number.parseInt(mode, 8));
    expect(() => file.read()).toThrow(`chmod 600 ${file.path}`);
    await expect(file.replace(kept("first"), kept("second"))).rejects.toThrow("chmod 600");
    expect(readFileSync(file.path, "utf8")).toContain("ot_pat_first");
  });

  test("is neither read from nor put into a folder that others can enter", async () => {
    const { file, folder } = await keepOne();
    chmodSync(folder, 0o755);
    expect(() => file.read()).toThrow(`chmod 700 ${folder}`);
    expect(() => file.prepare()).toThrow("chmod 700");
    await expect(file.replace(kept("first"), kept("second"))).rejects.toThrow("chmod 700");
  });

  test("is not read through a link, of the file or of the folder", async () => {
    const { file, folder } = await keepOne();
    renameSync(file.path, `${folder}/elsewhere`);
    symlinkSync("elsewhere", file.path);
    expect(() => file.read()).toThrow(/is a link/);
    renameSync(`${folder}/elsewhere`, file.path);
    expect(file.read()).toEqual(kept("first"));
    renameSync(folder, `${folder}2`);
    symlinkSync(`${folder}2`, folder);
    expect(() => file.read()).toThrow(/a link, perhaps/);
  });

  test.runIf(process.geteuid?.() === 0)("is not read from another user's file or folder", async () => {
    const { file, folder } = await keepOne();
    chownSync(file.path, 65_534, 65_534);
    expect(() => file.read()).toThrow(/belongs to another user/);
    chownSync(file.path, 0, 0);
    chownSync(folder, 65_534, 65_534);
    expect(() => file.read()).toThrow(/belongs to another user/);
  });

  test.each([
    ["nothing", ""],
    ["half of it", '{"url":"https://pay.example.com","tok'],
    ["another service's", JSON.stringify(kept("first", { url: "https://evil.example" }))],
    ["a token that is none", JSON.stringify(kept("first\r\nx: y"))],
    ["too much", JSON.stringify(kept("first", { registrationId: "x".repeat(70_000) }))],
  ])("is not read from a file that holds %s, which is left as it is", async (_what, text) => {
    const { file } = await keepOne();
    writeFileSync(file.path, text);
    expect(() => file.read()).toThrow(/does not hold what this program wrote/);
    await expect(file.replace(undefined, kept("second"))).rejects.toThrow();
    expect(readFileSync(file.path, "utf8")).toBe(text);
  });

  test("is not waited for where a pipe stands, and not looked for in a folder", async () => {
    const { file } = await keepOne();
    renameSync(file.path, `${file.path}.old`);
    mkdirSync(file.path);
    expect(() => file.read()).toThrow(/is no file of this program's/);
  });
});

describe("two processes at once", () => {
  test("of many that replace the same token one does, and leaves nothing beside it", async () => {
    const { home, folder } = await keepOne();
    const files = Array.from({ length: 20 }, () => openTokenFile(`${home}/countersign`, url));
    const won = await Promise.all(files.map((file, i) => file.replace(kept("first"), kept(`next-${i}`))));
    expect(won.filter(Boolean)).toHaveLength(1);
    expect(files[0]?.read()).toEqual(kept(`next-${won.indexOf(true)}`));
    expect(readdirSync(folder)).toHaveLength(1);
  });

  test("of many that keep a first one, one does", async () => {
    const home = await newHome();
    const files = Array.from({ length: 20 }, () => openTokenFile(`${home}/countersign`, url));
    const won = await Promise.all(files.map((file, i) => file.replace(undefined, kept(`next-${i}`))));
    expect(won.filter(Boolean)).toHaveLength(1);
  });

  test("are not held up for long by one that was killed in between", async () => {
    const { file } = await keepOne();
    const lock = `${file.path}.lock`;
    writeFileSync(lock, "");
    const longAgo = new Date(Date.now() - 60_000);
    utimesSync(lock, longAgo, longAgo);
    expect(await file.replace(kept("first"), kept("second"))).toBe(true);
    expect(existsSync(lock)).toBe(false);
  });

  test("wait for one another, and look again when it is their turn", async () => {
    const { file } = await keepOne();
    const lock = `${file.path}.lock`;
    writeFileSync(lock, "");
    const waiting = file.replace(kept("first"), kept("second"));
    writeFileSync(`${file.path}.new`, JSON.stringify(kept("other")), { mode: 0o600 });
    renameSync(`${file.path}.new`, file.path);
    renameSync(lock, `${dirname(lock)}/gone`);
    expect(await waiting).toBe(false);
    expect(file.read()).toEqual(kept("other"));
  });
});
