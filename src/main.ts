import closeWithGrace from "close-with-grace";
import { createLogger } from "./app/logger.ts";
import { makeResetLink } from "./app/reset-link.ts";
import { type Parts, start } from "./app/start.ts";
import { loadConfig } from "./config/config.ts";
import { StartError } from "./lib/start-error.ts";

const STOP_WITHIN = 9_000;
const COMMANDS: Record<string, Parts | "migrate" | "reset-link"> = {
  start: { serve: true, work: true },
  serve: { serve: true, work: false },
  work: { serve: false, work: true },
  migrate: "migrate",
  "reset-link": "reset-link",
};

async function main(name = "start", argument?: string): Promise<void> {
  const command = COMMANDS[name];
  if (command === undefined) {
    throw new StartError(`There is no command ${name}: use one of ${Object.keys(COMMANDS).join(", ")}.`);
  }
  const config = loadConfig();
  const logger = createLogger(config.logLevel);
  if (command === "migrate") {
    const running = await start({ ...config, migrateOnStart: true }, { serve: false, work: false }, logger);
    await running.stop();
    console.log("The database is at this version's schema.");
    return;
  }
  if (command === "reset-link") {
    console.log(await makeResetLink(config, argument));
    return;
  }
  const running = await start(config, command, logger);
  closeWithGrace(
    { delay: STOP_WITHIN, logger: { error: (error) => logger.fatal({ err: error }, "stopping") } },
    async ({ signal }) => {
      logger.info({ signal }, "stopping");
      await running.stop();
    },
  );
}

try {
  await main(...process.argv.slice(2, 4));
} catch (error) {
  console.error(error instanceof StartError ? error.message : error);
  process.exitCode = 1;
}
