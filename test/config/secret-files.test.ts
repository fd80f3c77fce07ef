import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { loadConfig, loadMigrateUrl } from "../../src/config/config.ts";
import { SECRETS } from "../../src/config/environment.ts";
import { serviceEnvironment } from "../support/service.ts";

const folder = await mkdtemp(join(tmpdir(), "countersign-secrets-"));
afterAll(() => rm(folder, { recursive: true }));

const production: Record<string, string> = {
  ...serviceEnvironment("postgres://db.example.com/pay"),
  DATABASE_DIRECT_URL: "postgres://db.example.com:5433/pay",
  DATABASE_MIGRATE_URL: "postgres://owner@db.example.com/pay",
  SMTP_URL: "smtps://user:password@mail.example.com",
  STRIPE_SECRET_KEY: "sk_test_abc123",
  STRIPE_PUBLISHABLE_KEY: "pk_test_abc123",
  STRIPE_WEBHOOK_SECRET: "whsec_abc123",
};

const faults = (env: Record<string, string>): string[] => {
  try {
    loadConfig(env);
    return [];
  } catch (error) {
    return (error as Error).message.split("\n");
  }
};

/** The environment with each secret in a file of its own, as orchestrators mount them: with a line's end. */
async function inFiles(env: Record<string, string>): Promise<Record<string, string>> {
  const entries = Object.entries(env).map(async ([name, value]) => {
    if (!SECRETS.includes(name)) return [name, value];
    const path = join(folder, name);
    await writeFile(path, `${value}\n`);
    return [`${name}_FILE`, path];
  });
  return Object.fromEntries(await Promise.all(entries));
}

describe("a secret in a file", () => {
  test("counts as if it stood in its variable, for every secret", async () => {
    const moved = await inFiles(production);
    expect(Object.keys(moved).filter((name) => name.endsWith("_FILE"))).toHaveLength(SECRETS.length - 1);
    expect(loadConfig(moved)).toEqual(loadConfig(production));
    expect(loadMigrateUrl(moved)).toBe("postgres://owner@db.example.com/pay");
  });

  test("that cannot be read, is empty, or stands beside its variable is one fault each, without its value", async () => {
    const { SESSION_SECRET: _, SECRETS_KEY: __, OPERATOR_API_KEY: ___, ...rest } = production;
    await writeFile(join(folder, "empty"), "\n");
    await writeFile(join(folder, "other"), "pa55word");
    const env = {
      ...rest,
      SESSION_SECRET_FILE: join(folder, "nowhere"),
      SECRETS_KEY_FILE: join(folder, "empty"),
      OPERATOR_API_KEY_FILE: folder,
      STRIPE_SECRET_KEY_FILE: join(folder, "other"),
    };
    const lines = faults(env);
    expect(lines).toEqual(
      expect.arrayContaining([
        `SESSION_SECRET_FILE cannot be read: ENOENT, ${join(folder, "nowhere")}`,
        `SECRETS_KEY_FILE names an empty file: ${join(folder, "empty")}`,
        `OPERATOR_API_KEY_FILE cannot be read: EISDIR, ${folder}`,
        "STRIPE_SECRET_KEY_FILE is set beside STRIPE_SECRET_KEY: remove one of them",
      ]),
    );
    expect(lines.join()).not.toContain("pa55word");
  });
});

test("a fault is one line, whatever the value holds", () => {
  const lines = faults({ ...production, LOG_LEVEL: "loud\nPORT is fine", PORT: "1\n2" });
  expect(lines.map((line) => line.split(" ", 1)[0])).toEqual(["PORT", "LOG_LEVEL"]);
});
