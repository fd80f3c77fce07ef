import closeWithGrace from "close-with-grace";
import type { Logger } from "pino";
import { afterRestore } from "./app/after-restore.ts";
import { AUDITED, audit } from "./app/audit.ts";
import { superviseWorkers } from "./app/cluster.ts";
import { distributeByHand } from "./app/distribute-by-hand.ts";
import { createLogger } from "./app/logger.ts";
import { describeMigrated, migrateByHand } from "./app/migrate-by-hand.ts";
import { openPasskey } from "./app/open-passkey.ts";
import { ops } from "./app/ops.ts";
import { RECONCILED, reconcile } from "./app/reconcile.ts";
import { makeResetLink } from "./app/reset-link.ts";
import { type Parts, type Running, start } from "./app/start.ts";
import { loadConfig, loadDatabaseAddress, loadMigrateUrl } from "./config/config.ts";
import { StartError, StartInterrupted } from "./lib/start-error.ts";

/** After the drain, in milliseconds. */
const STOP_WITHIN = 9_000;
const COMMANDS: Record<
  string,
  | Parts
  | "migrate"
  | "distribute"
  | "reset-link"
  | "open-passkey"
  | "reconcile"
  | "audit"
  | "after-restore"
  | "ops"
> = {
  start: { serve: true, work: true },
  serve: { serve: true, work: false },
  work: { serve: false, work: true },
  migrate: "migrate",
  distribute: "distribute",
  "reset-link": "reset-link",
  "open-passkey": "open-passkey",
  reconcile: "reconcile",
  audit: "audit",
  "after-restore": "after-restore",
  ops: "ops",
};

/** How a command ends that could not do what it is there for, where 1 says something else. */
const FAILED: Record<string, number> = { reconcile: RECONCILED.failed, audit: AUDITED.failed };

async function main(name = "start", ...args: string[]): Promise<void> {
  const command = COMMANDS[name];
  if (command === undefined) {
    throw new StartError(`There is no command ${name}: use one of ${Object.keys(COMMANDS).join(", ")}.`);
  }
  const migrateUrl = command === "migrate" ? loadMigrateUrl() : undefined;
  if (migrateUrl !== undefined) {
    console.log(await migrateByHand(migrateUrl));
    return;
  }
  if (command === "distribute") {
    await distributeByHand(loadMigrateUrl(), args, (line) => console.log(line));
    return;
  }
  if (command === "audit") {
    process.exitCode = await audit(loadDatabaseAddress(), args, (line) => console.log(line));
    return;
  }
  if (command === "ops") {
    console.log(await ops(loadDatabaseAddress(), args));
    return;
  }
  const config = loadConfig();
  const logger = createLogger(config.logLevel);
  if (command === "reset-link") {
    console.log(await makeResetLink(config, args[0]));
    return;
  }
  if (command === "open-passkey") {
    console.log(await openPasskey(config, args[0]));
    return;
  }
  if (command === "reconcile") {
    const { code, text } = await reconcile(config, args);
    console.log(text);
    process.exitCode = code;
    return;
  }
  if (command === "after-restore") {
    console.log(await afterRestore(config, args));
    return;
  }
  if (config.webConcurrency > 1 && command !== "migrate" && command.serve) {
    process.exitCode = await superviseWorkers(config, name, logger);
    return;
  }
  const migrating = command === "migrate";
  const parts = migrating ? { serve: false, work: false } : command;
  const stopping = new AbortController();
  const asked = { ...config, migrateOnStart: config.migrateOnStart || migrating };
  const starting = start(asked, parts, logger, { stopping: stopping.signal });
  // Before it has started: as process 1 nothing else would heed a signal meanwhile.
  stopOnSignal(starting, stopping, logger, config.drainSeconds);
  const running = await starting;
  if (!migrating) return;
  await running.stop();
  console.log(describeMigrated([]));
}

function stopOnSignal(
  starting: Promise<Running>,
  stopping: AbortController,
  logger: Logger,
  drainSeconds: number,
): void {
  const onError = (error: unknown) => logger.fatal({ err: error }, "stopping");
  closeWithGrace(
    { delay: drainSeconds * 1_000 + STOP_WITHIN, skip: ["beforeExit"], logger: { error: onError } },
    async ({ signal }) => {
      logger.info({ signal }, "stopping");
      stopping.abort();
      await starting.then(
        (running) => running.stop(),
        () => {},
      );
    },
  );
}

const [command, ...rest] = process.argv.slice(2);
try {
  await main(command, ...rest);
} catch (error) {
  console.error(error instanceof StartError ? error.message : error);
  // One that a signal has ended exits as that does, once all is tidied up.
  if (!(error instanceof StartInterrupted)) process.exit(FAILED[command ?? ""] ?? 1);
}
