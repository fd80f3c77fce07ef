import { inject, vi } from "vitest";
import { TokenUses } from "../../src/accounts/token-use-service.ts";
import { createApp } from "../../src/app/app.ts";
import { createLogger } from "../../src/app/logger.ts";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { claimProcessor } from "../../src/billing/stripe-store.ts";
import { type Config, loadConfig } from "../../src/config/config.ts";
import { ChangeBus } from "../../src/database/change-bus.ts";
import { type Connection, connect } from "../../src/database/connection.ts";
import { noteDistribution } from "../../src/database/distribution.ts";
import { Waiters } from "../../src/events/waiters.ts";
import type { App } from "../../src/http/app.ts";
import { type Allowance, RateLimits } from "../../src/http/token-rate-limit.ts";
import { cloneDatabase, directUrl } from "./clones.ts";
import { closeAfterFile } from "./closing.ts";
import { noteAddress } from "./owner.ts";
import type { Rails } from "./rails.ts";

export const OPERATOR_KEY = "operator-key-for-tests-operator-key-for-tests";
export const PUBLIC_URL = "http://localhost:3000";
export const SECRETS_KEY = Buffer.alloc(32, "s");
const SECRET = SECRETS_KEY.toString("base64");

/** The environment of a production-like service on `url`; tests of processes pass it on. */
export function serviceEnvironment(url: string): Record<string, string> {
  return {
    DATABASE_URL: url,
    // Waiting for wake-ups does not go through a pooler.
    ...(directUrl(url) !== url && { DATABASE_DIRECT_URL: directUrl(url) }),
    PUBLIC_URL,
    OPERATOR_API_KEY: OPERATOR_KEY,
    SESSION_SECRET: SECRET,
    SECRETS_KEY: SECRET,
    RECEIPT_SIGNING_KEY: SECRET,
    LOG_LEVEL: "warn",
    // No proxy is in front, unless a test puts one there.
    DRAIN_SECONDS: "0",
    // So that only the tests about limits meet one.
    RATE_LIMIT_PER_MINUTE: "1000000",
  };
}

export type TestService = {
  app: App;
  connection: Connection;
  db: Connection["db"];
  config: Config;
  limits: RateLimits;
  tokenUses: TokenUses;
  changeBus: ChangeBus;
  waiters: Waiters;
};

/** Rate limits whose minute never ends because the machine is slow: their clock stands still, unless the test has set its own. */
class StillRateLimits extends RateLimits {
  readonly #began = Date.now();

  override hit(bucket: string, limit: number, now = this.#now()): Allowance {
    return super.hit(bucket, limit, now);
  }

  override look(bucket: string, limit: number, now = this.#now()): Allowance {
    return super.look(bucket, limit, now);
  }

  override share(db: Connection["db"], now = this.#now()): Promise<void> {
    return super.share(db, now);
  }

  #now(): number {
    return vi.isFakeTimers() ? Date.now() : this.#began;
  }
}

/**
 * The whole app, as production builds it, on a clone of its own. Closed after the file's tests.
 * @param rails the processor, if it is not the sandbox
 */
export async function startService(
  env: Record<string, string> = {},
  url?: string,
  rails?: Pick<Rails, "env" | "open">,
): Promise<TestService> {
  const databaseUrl = url ?? (await cloneDatabase());
  const config = loadConfig({ ...serviceEnvironment(databaseUrl), ...rails?.env, ...env });
  const connection = connect(databaseUrl, {
    size: 10,
    // The machine may be busy.
    connectTimeout: 30_000,
    onIdleError: () => {},
  });
  const { db } = connection;
  noteAddress(db, databaseUrl);
  if (inject("workers").length > 0) await noteDistribution(db);
  const limits = new StillRateLimits();
  const tokenUses = new TokenUses();
  const changeBus = new ChangeBus(db);
  const waiters = new Waiters(db, changeBus);
  const logger = createLogger("silent");
  const processor = rails?.open(db) ?? createSandbox(db, config.publicUrl);
  // Books begin as the sandbox's.
  if (rails !== undefined) await claimProcessor(db, processor.name);
  const app = await createApp({ config, db, limits, tokenUses, waiters, processor, logger });
  await app.ready();
  closeAfterFile(async () => {
    await app.close();
    await connection.close();
  });
  return { app, connection, db, config, limits, tokenUses, changeBus, waiters };
}
