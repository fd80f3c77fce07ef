import { describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config/config.ts";
import { serviceEnvironment } from "../support/service.ts";

const STRIPE = {
  STRIPE_SECRET_KEY: "sk_test_abc123",
  STRIPE_PUBLISHABLE_KEY: "pk_test_abc123",
  STRIPE_WEBHOOK_SECRET: "whsec_abc123",
};
const production = serviceEnvironment("postgres://db.example.com/pay");

const faults = (env: Record<string, string>): string[] => {
  try {
    loadConfig(env);
    return [];
  } catch (error) {
    return (error as Error).message.split("\n");
  }
};

describe("the demo", () => {
  test.for([
    {},
    { HOST: "localhost" },
    { HOST: "::1", PUBLIC_URL: "http://[::1]:3000" },
    { PUBLIC_URL: "http://127.0.0.1:8080" },
    { PUBLIC_URL: "https://localhost" },
  ])("is on for the embedded database on loopback: %j", (env) => {
    expect(loadConfig(env).demo).toBe(true);
  });

  test.for([STRIPE, production])("is off with %j", (env) => {
    expect(loadConfig(env).demo).toBe(false);
  });
});

describe("a start is refused, in one line that says why,", () => {
  test.for(["https://pay.example.com", "http://192.0.2.1:3000", "http://localhost.example.com"])(
    "for the embedded database behind %s",
    (url) => {
      expect(faults({ PUBLIC_URL: url })).toEqual([
        expect.stringMatching(/^PUBLIC_URL leads here from other machines.*set DATABASE_URL/),
      ]);
    },
  );

  test.for(["0.0.0.0", "192.0.2.1", "::"])("for the embedded database on HOST %s", (host) => {
    expect(faults({ HOST: host })).toEqual([expect.stringMatching(/^HOST .*set DATABASE_URL/)]);
  });

  test("for a live key on the embedded database", () => {
    const live = { ...STRIPE, STRIPE_SECRET_KEY: "sk_live_abc", STRIPE_PUBLISHABLE_KEY: "pk_live_abc" };
    expect(faults(live)).toEqual([expect.stringMatching(/^STRIPE_SECRET_KEY is a live key/)]);
  });

  test("for a database of one's own with a PUBLIC_URL that is not https, localhost aside", () => {
    expect(faults({ ...production, PUBLIC_URL: "http://pay.example.com" })).toEqual([
      expect.stringMatching(/^PUBLIC_URL must be https/),
    ]);
    for (const url of ["https://pay.example.com", "http://localhost:3000", "http://[::1]:3000"])
      expect(faults({ ...production, PUBLIC_URL: url })).toEqual([]);
  });

  test.for(["PUBLIC_URL", "SESSION_SECRET", "SECRETS_KEY", "RECEIPT_SIGNING_KEY"])(
    "for a database of one's own without %s",
    (name) => {
      const { [name]: _, ...others } = production;
      expect(faults(others)).toEqual([expect.stringMatching(new RegExp(`^${name} is missing`))]);
    },
  );
});
