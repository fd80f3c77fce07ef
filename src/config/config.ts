import { resolve } from "node:path";
import { isLoopback } from "../lib/addresses.ts";
import { FEATURE_KEYS } from "../lib/scopes.ts";
import { StartError } from "../lib/start-error.ts";
import { Environment } from "./environment.ts";
import { type Logo, readLogo } from "./logo.ts";
import {
  readCorsOrigins,
  readMailFrom,
  readPrivateHosts,
  readSecurityContact,
  readSmtp,
  readTrustProxy,
} from "./network.ts";

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;

const PORTS = { min: 1, max: 65_535 };

/** What Stripe knows this service by. All three are of one mode. */
export type StripeKeys = {
  mode: "test" | "live";
  secretKey: string;
  publishableKey: string;
  webhookSecret: string;
};

/** The service's settings (docs/contract.md §8). Read once, never changed. */
export type Config = {
  host: string;
  port: number;
  /** Where `work` answers /livez, /readyz and /metrics; absent: nowhere. */
  healthPort: number | undefined;
  /** Where what serves answers /metrics without a key; absent: nowhere. */
  metricsPort: number | undefined;
  /** How long a process that was told to stop goes on serving, so that proxies can turn away from it. */
  drainSeconds: number;
  /** Origin of every link that is handed out; no slash at its end. */
  publicUrl: string;
  /** Absent: a Postgres of our own under `dataDir`. */
  databaseUrl: string | undefined;
  /** Leads to Postgres past any pooler, for LISTEN; absent: `databaseUrl` does. */
  databaseDirectUrl: string | undefined;
  /** Leads to Postgres as the role that owns the tables; absent: one role does both. */
  databaseMigrateUrl: string | undefined;
  /** Connections of each process at most, and how many milliseconds it waits for one. */
  databasePoolSize: number;
  /** How many processes serve, where one command runs several. They divide `databasePoolSize` between them. */
  webConcurrency: number;
  databaseConnectMs: number;
  migrateOnStart: boolean;
  dataDir: string;
  appName: string;
  /** Beside the name on every page. */
  logo: Logo;
  /** One or two keys of at least 32 bytes; empty: the operator's routes do not exist. */
  operatorApiKeys: readonly string[];
  /** 32 bytes each, the newest first; empty: the start keeps one of its own in `dataDir`. */
  sessionSecrets: readonly Buffer[];
  /** 32 bytes each, the newest first, for the secrets in the database; empty: as with the sessions' secret. */
  secretsKeys: readonly Buffer[];
  /** Ed25519 seeds of 32 bytes each, for receipts: the first one signs; empty: as with the sessions' secret. */
  receiptSeeds: readonly Buffer[];
  /** Public keys that have signed receipts, and whose seeds are gone. */
  receiptRetiredKeys: readonly string[];
  /** Origins whose pages may call the API; empty: none but this service's own. */
  corsOrigins: readonly string[];
  /** Hosts that webhooks may be sent to though they are not public, and by plain http. */
  webhookPrivateHosts: readonly string[];
  /** Where mail goes out; absent: to the log, or to the demo's mailbox. */
  smtpUrl: string | undefined;
  /** Whether mail goes by TLS or not at all: always, unless its server is this machine or was named as an exception. */
  smtpRequireTls: boolean;
  /** Who mail is from, as `Name <address>` or an address. */
  mailFrom: string;
  /** Absent: payments go through the sandbox. */
  stripe: StripeKeys | undefined;
  /** What is enabled for accounts that agents register by themselves. */
  defaultFeatures: readonly string[];
  approvalTtlSeconds: number;
  /** From this amount on, in cents of whatever currency, a person types it before they confirm. */
  confirmAmountFromCents: number;
  /** After how many days events are forgotten; absent: never. */
  eventRetentionDays: number | undefined;
  rateLimitPerMinute: number;
  /** How many proxies to believe, or which addresses; `false`: none. */
  trustProxy: number | string | false;
  /** Where weaknesses are reported to, for /.well-known/security.txt; absent: there is none. */
  securityContact: string | undefined;
  /** Where traces are sent, by OTLP over HTTP; absent: nothing is traced, and nothing of it is loaded. */
  traceEndpoint: string | undefined;
  /** Threads of libuv's pool, which hashes passwords and reads files. */
  threadPoolSize: number;
  logLevel: (typeof LOG_LEVELS)[number];
  /** The demo: embedded database, HOST and the host of PUBLIC_URL loopback, no Stripe key (docs/contract.md §8). */
  demo: boolean;
};

/**
 * Reads and checks the environment.
 * @throws StartError with one line for every fault, all at once.
 */
export function loadConfig(variables: NodeJS.ProcessEnv = process.env): Config {
  const env = new Environment(variables);
  const host = env.text("HOST", "127.0.0.1");
  const port = env.integer("PORT", 3000, PORTS);
  const databaseUrl = env.postgres("DATABASE_URL");
  const databaseDirectUrl = env.postgres("DATABASE_DIRECT_URL");
  const databaseMigrateUrl = env.postgres("DATABASE_MIGRATE_URL");
  for (const name of ["DATABASE_DIRECT_URL", "DATABASE_MIGRATE_URL"]) {
    if (env.optional(name) !== undefined && env.optional("DATABASE_URL") === undefined)
      env.fault(`${name} needs DATABASE_URL beside it: another way to the same database`);
  }
  const stripe = readStripe(env);
  const publicUrl = readPublicUrl(env, port, databaseUrl !== undefined);
  const appName = env.text("APP_NAME", "Countersign");
  const noStripeKey = STRIPE_NAMES.every((name) => env.optional(name) === undefined);
  const demo = databaseUrl === undefined && isLoopback(host) && isLocal(publicUrl) && noStripeKey;
  const config: Config = {
    host,
    port,
    healthPort: env.optionalInteger("HEALTH_PORT", PORTS),
    metricsPort: env.optionalInteger("METRICS_PORT", PORTS),
    // On one's own machine, no proxy looks.
    drainSeconds: env.integer("DRAIN_SECONDS", demo ? 0 : 5, { min: 0, max: 600 }),
    publicUrl,
    databaseUrl,
    databaseDirectUrl,
    databaseMigrateUrl,
    databasePoolSize: env.integer("DATABASE_POOL_SIZE", 10, { min: 2, max: 1_000 }),
    webConcurrency: env.integer("WEB_CONCURRENCY", 1, { min: 1, max: 64 }),
    databaseConnectMs: env.integer("DATABASE_CONNECT_TIMEOUT_MS", 3_000, { min: 100, max: 60_000 }),
    migrateOnStart: env.flag("MIGRATE_ON_START", databaseUrl === undefined),
    dataDir: resolve(env.text("DATA_DIR", ".data")),
    appName,
    logo: readLogo(env),
    operatorApiKeys: readOperatorKeys(env),
    sessionSecrets: env.keyBytes("SESSION_SECRET", { required: databaseUrl !== undefined }),
    secretsKeys: env.keyBytes("SECRETS_KEY", { required: databaseUrl !== undefined }),
    receiptSeeds: env.keyBytes("RECEIPT_SIGNING_KEY", { required: databaseUrl !== undefined }),
    receiptRetiredKeys: readRetiredKeys(env),
    corsOrigins: readCorsOrigins(env),
    webhookPrivateHosts: readPrivateHosts(env),
    ...readSmtp(env),
    mailFrom: readMailFrom(env, appName, publicUrl),
    stripe,
    defaultFeatures: readDefaultFeatures(env, demo),
    approvalTtlSeconds: env.integer("APPROVAL_TTL_SECONDS", 259_200, { min: 1, max: 31_536_000 }),
    confirmAmountFromCents: env.cents("CONFIRM_AMOUNT_FROM", 100_000, { max: 100_000_000 }),
    eventRetentionDays: env.optionalInteger("EVENT_RETENTION_DAYS", { min: 1, max: 36_500 }),
    rateLimitPerMinute: env.integer("RATE_LIMIT_PER_MINUTE", 600, { min: 1, max: 1_000_000 }),
    trustProxy: readTrustProxy(env),
    securityContact: readSecurityContact(env),
    traceEndpoint: env.url("OTEL_EXPORTER_OTLP_ENDPOINT", ["http:", "https:"]),
    // libuv's own variable and default.
    threadPoolSize: env.integer("UV_THREADPOOL_SIZE", 4, { min: 1, max: 1024 }),
    logLevel: env.oneOf("LOG_LEVEL", LOG_LEVELS, "info"),
    demo,
  };
  if (env.optional("DATABASE_URL") === undefined)
    refuseEmbedded(env, { host, publicUrl, webConcurrency: config.webConcurrency });
  if (env.faults.length > 0) throw new StartError(env.faults.join("\n"));
  return config;
}

/** The embedded database is for trying things out on one machine: its secrets lie beside it, and the demo prints some. */
function refuseEmbedded(
  env: Environment,
  { host, publicUrl, webConcurrency }: Pick<Config, "host" | "publicUrl" | "webConcurrency">,
): void {
  if (webConcurrency > 1)
    env.fault("WEB_CONCURRENCY needs DATABASE_URL: the embedded database belongs to one process");
  if (!isLoopback(host)) {
    env.fault(
      `HOST ${host} lets other machines in, and the built-in database is for a demo on this one: set DATABASE_URL, or HOST to 127.0.0.1`,
    );
  }
  if (!isLocal(publicUrl)) {
    env.fault(
      "PUBLIC_URL leads here from other machines, and the embedded database is for trying things out on this one: set DATABASE_URL, or leave PUBLIC_URL at localhost",
    );
  }
  if (/^[sr]k_live_\w+$/.test(env.optional("STRIPE_SECRET_KEY") ?? "")) {
    env.fault(
      "STRIPE_SECRET_KEY is a live key, and live money must not rest on the embedded database: set DATABASE_URL",
    );
  }
}

/**
 * The address that `migrate` needs, and all that it needs: DATABASE_MIGRATE_URL, else DATABASE_URL.
 * @returns undefined where neither is set, and the embedded database is meant
 * @throws StartError when it cannot be read
 */
export function loadMigrateUrl(variables: NodeJS.ProcessEnv = process.env): string | undefined {
  const env = new Environment(variables);
  const url = env.postgres("DATABASE_MIGRATE_URL") ?? env.postgres("DATABASE_URL");
  if (env.faults.length > 0) throw new StartError(env.faults.join("\n"));
  return url;
}

/** Where the database is: all that a command needs which only reads it. */
export type DatabaseAddress = Pick<Config, "databaseUrl" | "databaseDirectUrl">;

/**
 * The addresses of the database alone, for `ops` and `audit`: they run where no secret of the service is.
 * @throws StartError when one cannot be read
 */
export function loadDatabaseAddress(variables: NodeJS.ProcessEnv = process.env): DatabaseAddress {
  const env = new Environment(variables);
  const databaseUrl = env.postgres("DATABASE_URL");
  const databaseDirectUrl = env.postgres("DATABASE_DIRECT_URL");
  if (env.faults.length > 0) throw new StartError(env.faults.join("\n"));
  return { databaseUrl, databaseDirectUrl };
}

function readPublicUrl(env: Environment, port: number, secure: boolean): string {
  const given = env.url("PUBLIC_URL", ["http:", "https:"]);
  if (given === undefined) {
    if (secure) env.fault("PUBLIC_URL is missing: set the https address at which people reach this service");
    return `http://localhost:${port}`;
  }
  const url = new URL(given);
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "" || url.username !== "") {
    env.fault("PUBLIC_URL must be an origin alone, such as https://pay.example.com");
  }
  if (secure && url.protocol !== "https:" && !isLocal(given)) {
    env.fault("PUBLIC_URL must be https when DATABASE_URL is set (localhost aside)");
  }
  return url.origin;
}

function isLocal(url: string): boolean {
  return URL.canParse(url) && isLoopback(new URL(url).hostname);
}

const STRIPE_FORMS = {
  STRIPE_SECRET_KEY: { form: /^[sr]k_(test|live)_\w+$/, begins: "sk_test_, sk_live_, rk_test_ or rk_live_" },
  STRIPE_PUBLISHABLE_KEY: { form: /^pk_(test|live)_\w+$/, begins: "pk_test_ or pk_live_" },
  STRIPE_WEBHOOK_SECRET: { form: /^whsec_\S+$/, begins: "whsec_" },
} as const;

const STRIPE_NAMES = Object.keys(STRIPE_FORMS) as (keyof typeof STRIPE_FORMS)[];

/** All three or none, each of its form, the keys of one mode. */
function readStripe(env: Environment): StripeKeys | undefined {
  if (STRIPE_NAMES.every((name) => env.optional(name) === undefined)) return undefined;
  const [secret, publishable, webhook] = STRIPE_NAMES.map((name) => {
    const value = env.optional(name);
    const { form, begins } = STRIPE_FORMS[name];
    if (value === undefined)
      env.fault(`${name} is missing: ${STRIPE_NAMES.join(", ")} are set together, or none of them`);
    else if (!form.test(value)) env.fault(`${name} must be a key of Stripe's that begins with ${begins}`);
    return form.exec(value ?? "") ?? undefined;
  });
  if (secret === undefined || publishable === undefined || webhook === undefined) return undefined;
  if (secret[1] !== publishable[1]) {
    env.fault("STRIPE_SECRET_KEY and STRIPE_PUBLISHABLE_KEY must be of one mode: both test, or both live");
  }
  return {
    mode: secret[1] === "live" ? "live" : "test",
    secretKey: secret[0],
    publishableKey: publishable[0],
    webhookSecret: webhook[0],
  };
}

function readOperatorKeys(env: Environment): string[] {
  const keys = env.list("OPERATOR_API_KEY");
  if (keys.length > 2)
    env.fault("OPERATOR_API_KEY takes two keys at most: the new one, a comma, the old one");
  if (keys.some((key) => Buffer.byteLength(key) < 32)) {
    env.fault("OPERATOR_API_KEY must be at least 32 bytes: try `openssl rand -base64 32`");
  }
  return keys;
}

/** In the demo everything; elsewhere the operator says what strangers' accounts may do once they are claimed. */
function readDefaultFeatures(env: Environment, demo: boolean): readonly string[] {
  const features = env.list("DEFAULT_FEATURES");
  if (features.some((feature) => !/^[a-z0-9_]{1,64}$/.test(feature))) {
    env.fault("DEFAULT_FEATURES must be feature keys, such as public_api_payments_write,public_api_credits");
  }
  return features.length === 0 && demo ? FEATURE_KEYS : features;
}

/** As `x` stands in `/.well-known/jwks.json`: 32 bytes in base64url, of which there is one way to write them. */
function readRetiredKeys(env: Environment): string[] {
  const keys = env.list("RECEIPT_RETIRED_KEYS");
  const right = (key: string) =>
    key.length === 43 && Buffer.from(key, "base64url").toString("base64url") === key;
  if (!keys.every(right)) {
    env.fault("RECEIPT_RETIRED_KEYS must be public keys, each as `x` stood in /.well-known/jwks.json");
  }
  return keys;
}
