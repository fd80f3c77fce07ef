import { describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config/config.ts";
import { serviceEnvironment } from "../support/service.ts";

const KEYS = {
  STRIPE_SECRET_KEY: "sk_test_abc123",
  STRIPE_PUBLISHABLE_KEY: "pk_test_abc123",
  STRIPE_WEBHOOK_SECRET: "whsec_abc123",
};
const load = (env: Record<string, string>) =>
  loadConfig({ ...serviceEnvironment("postgres://db.example.com/pay"), ...env });
const faults = (env: Record<string, string>): string[] => {
  try {
    load(env);
    return [];
  } catch (error) {
    return (error as Error).message.split("\n");
  }
};

describe("Stripe's keys", () => {
  test("are none for the sandbox, else all three, of one mode", () => {
    expect(load({}).stripe).toBeUndefined();
    expect(load(KEYS).stripe).toEqual({
      mode: "test",
      secretKey: "sk_test_abc123",
      publishableKey: "pk_test_abc123",
      webhookSecret: "whsec_abc123",
    });
    const live = { STRIPE_SECRET_KEY: "rk_live_abc", STRIPE_PUBLISHABLE_KEY: "pk_live_abc" };
    expect(load({ ...KEYS, ...live }).stripe?.mode).toBe("live");
  });

  test.for(Object.keys(KEYS))("are refused without %s, in a line that names it", (name) => {
    const { [name]: _, ...others } = KEYS as Record<string, string>;
    expect(faults(others)).toEqual([expect.stringMatching(new RegExp(`^${name} is missing`))]);
  });

  test.for([
    ["STRIPE_SECRET_KEY", "pk_test_abc"],
    ["STRIPE_PUBLISHABLE_KEY", "sk_test_abc"],
    ["STRIPE_WEBHOOK_SECRET", "sk_test_abc"],
  ] as const)("are refused where one stands in another's place, and not repeated: %s", ([name, value]) => {
    const said = faults({ ...KEYS, [name]: value });
    expect(said).toEqual([expect.stringMatching(new RegExp(`^${name} must be`))]);
    expect(said.join()).not.toContain(value);
  });

  test("are refused when one is for tests and the other is live", () => {
    expect(faults({ ...KEYS, STRIPE_SECRET_KEY: "sk_live_abc" })).toEqual([
      expect.stringMatching(/both test, or both live/),
    ]);
  });

  test("are refused when they are live and the database is the embedded one; each turns the demo off", () => {
    const live = { ...KEYS, STRIPE_SECRET_KEY: "sk_live_abc", STRIPE_PUBLISHABLE_KEY: "pk_live_abc" };
    expect(() => loadConfig(live)).toThrow(/live money must not rest on the embedded database/);
    expect([loadConfig({}).demo, loadConfig(KEYS).demo]).toEqual([true, false]);
  });
});
