import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config/config.ts";

const folder = await mkdtemp(join(tmpdir(), "countersign-logo-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

async function file(name: string, content: string | Buffer): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

describe("APP_LOGO", () => {
  test("is the program's own when it is not set, and else the operator's file with its type", async () => {
    expect(loadConfig({}).logo).toMatchObject({ type: "image/svg+xml" });
    expect(loadConfig({}).logo.content.toString()).toContain("<svg");
    const svg = await file("mine.svg", "<svg/>");
    expect(loadConfig({ APP_LOGO: svg }).logo).toEqual({
      type: "image/svg+xml",
      content: Buffer.from("<svg/>"),
    });
    const png = await file("mine.PNG", Buffer.from([0x89, 0x50]));
    expect(loadConfig({ APP_LOGO: png }).logo.type).toBe("image/png");
  });

  test("that cannot be shown stops the start with one line that says why", async () => {
    const jpeg = await file("mine.jpeg", "x");
    expect(() => loadConfig({ APP_LOGO: jpeg })).toThrow(
      /^APP_LOGO must be the path of an .svg or a .png file/,
    );
    const big = await file("big.svg", "x".repeat(20 * 1024 + 1));
    expect(() => loadConfig({ APP_LOGO: big })).toThrow(/^APP_LOGO must be at most 20 KiB/);
    expect(() => loadConfig({ APP_LOGO: join(folder, "none.svg") })).toThrow(
      /^APP_LOGO cannot be read: ENOENT/,
    );
  });
});
