import { randomBytes } from "node:crypto";
import type { FastifyPluginCallback } from "fastify";
import type { Logger } from "pino";
import { forgetOldKeys } from "../accounts/idempotency-service.ts";
import { forgetEndedTokens, forgetOldInvitations, mailTokenActs } from "../accounts/jobs.ts";
import { TokenUses } from "../accounts/token-use-service.ts";
import { sweepUnclaimed } from "../agent-auth/jobs.ts";
import type { PaymentDeps } from "../approvals/advance-service.ts";
import {
  alertInDoubt,
  sweepDuePayments,
  sweepExpiredApprovals,
  sweepLostIntents,
} from "../approvals/jobs.ts";
import { sendApprovalMails } from "../approvals/mail-service.ts";
import { forgetProcessorEvents, sweepProcessorEvents } from "../approvals/processor-event-service.ts";
import type { BoundaryObserver } from "../billing/boundaries.ts";
import { sweepRemovedCards } from "../billing/card-jobs.ts";
import type { Processor, ProcessorName } from "../billing/processor.ts";
import { createSandbox } from "../billing/sandbox-client.ts";
import { createStripe, type StripeAddress } from "../billing/stripe-client.ts";
import { claimProcessor } from "../billing/stripe-store.ts";
import { sweepDueTopUps } from "../billing/top-up-jobs.ts";
import type { Config } from "../config/config.ts";
import { keepSecret } from "../config/kept-secret.ts";
import { ChangeBus } from "../database/change-bus.ts";
import { connect, type Db } from "../database/connection.ts";
import { type ListeningOptions, startListening } from "../database/listening.ts";
import { asDatabaseError } from "../database/unusable.ts";
import { keepOperatorFeed, sweepOldEvents } from "../events/jobs.ts";
import { Waiters } from "../events/waiters.ts";
import { Draining } from "../http/draining.ts";
import { forgetKnownCredentials } from "../http/known-credentials.ts";
import { stopListening } from "../http/stop-listening.ts";
import { forgetOldWindows, RateLimits } from "../http/token-rate-limit.ts";
import { every, type Loop } from "../jobs/every.ts";
import { StartError, StartInterrupted } from "../lib/start-error.ts";
import { HOUR, MINUTE, SECOND } from "../lib/time.ts";
import { forgetOldMails, sendDueMails } from "../mail/jobs.ts";
import { createMailTransport } from "../mail/transport.ts";
import { measureProcess } from "../metrics/metrics.ts";
import { reportSweeps } from "../monitoring/jobs.ts";
import { forgetChallenges } from "../passkeys/jobs.ts";
import { relyingPartyOf } from "../passkeys/relying-party.ts";
import { forgetEnded, sweepResets } from "../sign-in/jobs.ts";
import { sweepUpgrades } from "../team/upgrade-service.ts";
import { deliverWebhooks, forgetDeliveries, resealSecrets } from "../webhooks/jobs.ts";
import { deliverOperatorWebhook, resealOperatorSecrets } from "../webhooks/operator-jobs.ts";
import { createApp } from "./app.ts";
import { giveDemoContracts, prepareDemo } from "./demo.ts";
import { prepareDatabase } from "./prepare-database.ts";
import { asStartError, listenForMonitoring } from "./side-server.ts";
import { shortenWaits } from "./waits.ts";
import { welcome } from "./welcome.ts";

export type Parts = { serve: boolean; work: boolean };

/** What no setting can say. */
export type StartOptions = {
  /** Aborted when the process must stop: started work ends, and none begins. */
  stopping?: AbortSignal | undefined;
  /** Told of every write and call of a payment: the tests end the process there. */
  boundaries?: BoundaryObserver | undefined;
  /** A Stripe of the tests' own. */
  stripeAt?: StripeAddress | undefined;
};

/** What was started, in the order in which it is to be stopped. */
export type Running = { stop(): Promise<void> };

/**
 * Starts the service: the database if it is our own, migrations if they are asked for, then the API and
 * pages (`serve`) and the sweeps (`work`).
 * @throws StartError for whatever the person at the terminal can mend; StartInterrupted once `stopping` is aborted
 */
export async function start(
  config: Config,
  parts: Parts,
  logger: Logger,
  { boundaries, stripeAt, stopping }: StartOptions = {},
): Promise<Running> {
  const stops: (() => Promise<unknown>)[] = [];
  const stop = async (): Promise<void> => {
    for (const part of stops.splice(0).reverse()) await part();
  };
  try {
    const traces = await openTraces(config, stops);
    const url = await openDatabase(config, stops);
    stopping?.throwIfAborted();
    const connection = connect(url, {
      size: config.databasePoolSize,
      connectTimeout: config.databaseConnectMs,
      onIdleError: (error) => logger.warn({ err: error }, "a database connection broke"),
    });
    stops.push(() => connection.close());
    measureProcess(connection.pool, config.databasePoolSize);
    const { db } = connection;
    await prepareDatabase(config, { db, url, logger });
    stopping?.throwIfAborted();
    const processor = openProcessor(db, config, stripeAt);
    if (parts.serve || parts.work) await assertOwnProcessor(db, processor);
    const changeBus = new ChangeBus(db);
    if (parts.serve || parts.work) stops.push(await listen(config, { db, changeBus, url, logger }));
    const completed = await withSecrets(config);
    const draining = new Draining();
    const deps = {
      config: completed,
      db,
      changeBus,
      processor,
      boundaries,
      logger,
      draining,
      tracePlugin: traces,
    };
    for (const loop of startSweeps(deps, parts)) stops.push(() => loop.stop());
    if (parts.serve) await serve(deps, logger, stops);
    const monitoring = monitoringPort(config, parts);
    if (monitoring !== undefined) stops.push(await listenForMonitoring(deps, monitoring));
    if (parts.serve) stops.push(() => draining.run(config.drainSeconds));
    return { stop };
  } catch (error) {
    await stop();
    // Whatever failed may have failed for that: Ctrl-C reaches the programs that a start runs, too.
    throw stopping?.aborted ? new StartInterrupted() : error;
  }
}

/** @returns what traces the requests of a server; `undefined`: none are, and nothing of it is loaded */
async function openTraces(
  { traceEndpoint }: Config,
  stops: (() => Promise<unknown>)[],
): Promise<FastifyPluginCallback | undefined> {
  if (traceEndpoint === undefined) return undefined;
  const { startTracing } = await import("./tracing.ts");
  const { plugin, stop } = startTracing(traceEndpoint);
  stops.push(stop);
  return plugin;
}

async function openDatabase(config: Config, stops: (() => Promise<unknown>)[]): Promise<string> {
  if (config.databaseUrl !== undefined) return config.databaseUrl;
  const { startEmbeddedPostgres } = await import("../database/embedded.ts");
  const embedded = await startEmbeddedPostgres({ dataDir: config.dataDir });
  stops.push(() => embedded.stop());
  return embedded.url;
}

/** @returns how to stop listening */
async function listen(config: Config, options: ListeningOptions): Promise<() => Promise<void>> {
  const { databaseDirectUrl: url = options.url } = config;
  const listening = await startListening({ ...options, url }).catch((error: unknown) => {
    throw asDatabaseError(error, url === options.url ? "DATABASE_URL" : "DATABASE_DIRECT_URL");
  });
  return () => listening.stop();
}

/** The processor that the configuration names. */
export function openProcessor(
  db: Db,
  { stripe, publicUrl }: Pick<Config, "stripe" | "publicUrl">,
  stripeAt?: StripeAddress,
): Processor {
  return stripe === undefined ? createSandbox(db, publicUrl) : createStripe(db, stripe, stripeAt);
}

const PROCESSORS: Record<ProcessorName, string> = {
  sandbox: "the sandbox",
  stripe_test: "Stripe's test mode",
  stripe_live: "Stripe's live mode",
};

/** What one processor has paid is worth nothing at another: a database belongs to one of them. */
export async function assertOwnProcessor(db: Db, { name }: Processor): Promise<void> {
  if (await claimProcessor(db, name)) return;
  throw new StartError(
    `The database holds cards or payments of another processor, and ${PROCESSORS[name]} must not be mixed with them: ` +
      "give it a database of its own (DATABASE_URL, or DATA_DIR).",
  );
}

type PartDeps = PaymentDeps & {
  config: Config;
  changeBus: ChangeBus;
  logger: Logger;
  draining: Draining;
  tracePlugin: FastifyPluginCallback | undefined;
};

/** What serves is asked on PORT whether it is ready; `work` listens on nothing but HEALTH_PORT. */
function monitoringPort({ healthPort, metricsPort }: Config, { serve }: Parts) {
  const port = serve ? metricsPort : healthPort;
  if (port === undefined) return undefined;
  return { port, setting: serve ? "METRICS_PORT" : "HEALTH_PORT", health: !serve };
}

/** What every process runs, and the sweeps of `work`. */
function startSweeps(deps: PartDeps, parts: Parts): Loop[] {
  const { logger } = deps;
  if (!parts.serve && !parts.work) return [];
  const shared = every(MINUTE, "payments in doubt", logger, () => alertInDoubt(deps, logger));
  return parts.work ? [shared, ...startWork(deps, logger)] : [shared];
}

function startWork(deps: PartDeps, logger: Logger): Loop[] {
  const { config, db } = deps;
  const transport = createMailTransport(config, logger);
  return [
    keepOperatorFeed(deps, logger),
    every(HOUR, "old events", logger, () => sweepOldEvents(db, config.eventRetentionDays)),
    every(10 * MINUTE, "old idempotency keys", logger, () => forgetOldKeys(db)),
    every(HOUR, "ended tokens", logger, () => forgetEndedTokens(db)),
    every(5 * SECOND, "mail about tokens' acts", logger, () => mailTokenActs({ db, config })),
    every(HOUR, "old invitations", logger, () => forgetOldInvitations(db)),
    every(HOUR, "old mails", logger, () => forgetOldMails(db)),
    every(SECOND, "reset links", logger, () => sweepResets({ db, config })),
    every(SECOND, "urgent mail", logger, () => sendDueMails({ db, logger }, transport, "urgent")),
    every(5 * SECOND, "mail", logger, () => sendDueMails({ db, logger }, transport)),
    every(10 * MINUTE, "ended sessions", logger, () => forgetEnded(db)),
    every(10 * MINUTE, "answered challenges", logger, () => forgetChallenges(db)),
    every(5 * SECOND, "mail about approvals", logger, () => sendApprovalMails({ db, config })),
    every(5 * SECOND, "expired approvals", logger, () => sweepExpiredApprovals(db)),
    every(MINUTE, "lost payments", logger, () => sweepLostIntents(deps, logger)),
    every(5 * SECOND, "due payments", logger, () => sweepDuePayments(deps, logger)),
    every(MINUTE, "removed cards", logger, () => sweepRemovedCards(deps, logger)),
    every(5 * SECOND, "due top-ups", logger, () => sweepDueTopUps(deps, logger)),
    every(5 * SECOND, "events of the processor", logger, () => sweepProcessorEvents({ ...deps, logger })),
    every(10 * MINUTE, "handled events of the processor", logger, () => forgetProcessorEvents(deps)),
    every(MINUTE, "waits after a step back of the clock", logger, () => shortenWaits({ ...deps, logger })),
    deliverWebhooks(deps, logger),
    deliverOperatorWebhook(deps, logger),
    every(MINUTE, "the operator's webhook's secret", logger, () => resealOperatorSecrets(deps)),
    every(MINUTE, "webhooks' secrets", logger, () => resealSecrets(deps, logger)),
    every(MINUTE, "old deliveries", logger, () => forgetDeliveries(db)),
    every(MINUTE, "members' upgrades", logger, () => sweepUpgrades({ db, config })),
    every(MINUTE, "unclaimed accounts", logger, () => sweepUnclaimed(db)),
    every(MINUTE, "old rate windows", logger, () => forgetOldWindows(db)),
    every(MINUTE, "old known credentials", logger, () => forgetKnownCredentials(db)),
    reportSweeps(db, logger),
    ...(config.demo ? [every(5 * SECOND, "contracts to try", logger, () => giveDemoContracts(deps))] : []),
  ];
}

const NO_PASSKEYS =
  "PUBLIC_URL is neither https with a name nor localhost, and browsers use no passkeys there: none are offered, and " +
  'accounts with coSign "passkey" cannot confirm anything.';

async function serve(deps: PartDeps, logger: Logger, stops: (() => Promise<unknown>)[]): Promise<void> {
  const { config, db, changeBus } = deps;
  if (relyingPartyOf(config) === undefined) logger.warn(NO_PASSKEYS);
  const limits = new RateLimits();
  // So that what was known before this start is known from its first request on.
  await limits.share(db);
  const tokenUses = new TokenUses();
  const waiters = new Waiters(db, changeBus);
  const app = await createApp({ ...deps, limits, tokenUses, waiters });
  const missed = every(10 * SECOND, "missed events", logger, () => waiters.lookForMissed());
  changeBus.subscribe((woken) => {
    if (woken === "all") missed.runNow();
  });
  const loops = [
    missed,
    every(SECOND, "share rate limits", logger, () => limits.share(db)),
    every(SECOND, "note token uses", logger, () => tokenUses.write(db)),
  ];
  for (const loop of loops) stops.push(() => loop.stop());
  stops.push(async () => {
    waiters.stop();
    await stopListening(app.server);
    await app.close();
  });
  await app.listen({ host: config.host, port: config.port }).catch((error: unknown) => {
    throw asStartError(error, { host: config.host, port: config.port, setting: "PORT" });
  });
  if (config.demo) welcome(config, await prepareDemo(deps));
}

/**
 * Fills in secrets that were not configured. The demo's operator key is new at each start. The session secret, the key of
 * the secrets in the database and the receipts' signing seed are kept in DATA_DIR, so that a restart changes nothing.
 */
async function withSecrets(config: Config): Promise<Config> {
  const { demo, dataDir, operatorApiKeys, sessionSecrets, secretsKeys, receiptSeeds } = config;
  return {
    ...config,
    operatorApiKeys:
      demo && operatorApiKeys.length === 0
        ? [`demo_${randomBytes(32).toString("base64url")}`]
        : operatorApiKeys,
    sessionSecrets:
      sessionSecrets.length === 0 ? [await keepSecret(dataDir, "session-secret")] : sessionSecrets,
    secretsKeys: secretsKeys.length === 0 ? [await keepSecret(dataDir, "secrets-key")] : secretsKeys,
    receiptSeeds: receiptSeeds.length === 0 ? [await keepSecret(dataDir, "receipt-key")] : receiptSeeds,
  };
}
