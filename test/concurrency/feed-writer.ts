import { setTimeout as delay } from "node:timers/promises";
import { createLogger } from "../../src/app/logger.ts";
import { ChangeBus } from "../../src/database/change-bus.ts";
import { readClock } from "../../src/database/clock.ts";
import { connect } from "../../src/database/connection.ts";
import { startListening } from "../../src/database/listening.ts";
import { inTransaction } from "../../src/database/transaction.ts";
import { appendEvents } from "../../src/events/service.ts";
import { createDice } from "../chaos/dice.ts";

/** What a writer is told to do. */
export type WriterTask = {
  name: string;
  url: string;
  seed: number;
  /** By their `account_id`. */
  accounts: string[];
  /** How many write at once, and how many transactions each. */
  writers: number;
  transactions: number;
};

/** A line for each transaction that ended, in the order of their ends. */
export type Outcome = { committed: boolean; accountId: string; resourceIds: string[] };

const LONGEST_DELAY = 15;

/**
 * A process that writes events: at random into these accounts, one to five a transaction, each of which waits a
 * while before it begins to write, and again before it commits or, every third, changes its mind.
 */
async function write({ name, url, seed, accounts, writers, transactions }: WriterTask): Promise<void> {
  const dice = createDice(seed);
  const options = { size: writers, statementTimeout: 20_000, lockTimeout: 20_000, onIdleError: () => {} };
  const connection = connect(url, options);
  const { db } = connection;
  const changeBus = new ChangeBus(db);
  const start = () => startListening({ db, changeBus, url, logger: createLogger("silent") });
  // A test that ends such connections at random may end this one while it opens: that is not tested here.
  const listening = await start().catch(start).catch(start);

  async function writeOnce(id: string): Promise<void> {
    const accountId = dice.pick(accounts);
    const count = 1 + Math.floor(dice.between(0, 5));
    const resourceIds = Array.from({ length: count }, (_, i) => `${id}-${i}`);
    const first = Math.floor(dice.between(0, count));
    const committed = dice.roll() > 1 / 3;
    const toEvent = (resourceId: string) => ({
      type: "message.received" as const,
      resourceId,
      jobId: null,
      data: {},
    });
    await inTransaction(db, async (trx) => {
      const now = await readClock(trx);
      await delay(dice.between(0, LONGEST_DELAY));
      await appendEvents(trx, accountId, resourceIds.slice(0, first).map(toEvent), now);
      await appendEvents(trx, accountId, resourceIds.slice(first).map(toEvent), now);
      await delay(dice.between(0, LONGEST_DELAY));
      if (!committed) throw new ChangedItsMind();
    }).catch((error: unknown) => {
      if (!(error instanceof ChangedItsMind)) throw error;
    });
    const outcome: Outcome = { committed, accountId, resourceIds };
    console.log(JSON.stringify(outcome));
  }

  await Promise.all(
    Array.from({ length: writers }, async (_, writer) => {
      for (let i = 0; i < transactions; i++) await writeOnce(`${name}-${writer}-${i}`);
    }),
  );
  await listening.stop();
  await connection.close();
}

class ChangedItsMind extends Error {}

if (process.argv[1] === import.meta.filename) await write(JSON.parse(process.argv[2] ?? ""));
