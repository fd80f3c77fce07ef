import { setTimeout as delay } from "node:timers/promises";
import type pg from "pg";
import type { Logger } from "pino";
import { takeTurns } from "../lib/turns.ts";
import type { ChangeBus } from "./change-bus.ts";
import { SettledClient } from "./client.ts";
import type { Db } from "./connection.ts";
import { backendOf } from "./pooler.ts";
import { onCommit } from "./transaction.ts";

const CHANNEL = "countersign_changes";
/** Stands for all feeds, if there are too many names. */
const ALL = "*";
/** Postgres takes payloads below 8,000 bytes. */
const LONGEST_PAYLOAD = 7_999;
/** More names than fit into a payload. */
const MOST_NAMES = 1_000;
/** 20 a second at most: NOTIFY takes a lock that is shared by the whole database. */
const SENDING_INTERVAL = 50;
const CONNECT_TIMEOUT = 3_000;
const ANSWER_TIMEOUT = 5_000;
/** How often the connection is tested: a dead one would stay silent for ever. */
const HEARTBEAT = 10_000;
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 10_000;

export type Listening = { stop(): Promise<void> };

export type ListeningOptions = {
  /** Its commits are announced to the other processes. */
  db: Db;
  /** Local subscribers to notify. */
  changeBus: ChangeBus;
  /** Leads to Postgres itself: LISTEN does not work behind a pooler in transaction mode. */
  url: string;
  logger: Logger;
};

/**
 * Connects this process's change bus to those of all others, by LISTEN and NOTIFY on a connection of its own (docs/design.md,
 * Waiting). It reconnects by itself, and then publishes `all`, as changes may have been missed. Resolves once it listens.
 * @throws the error of the first attempt to connect
 */
export async function startListening(options: ListeningOptions): Promise<Listening> {
  const listener = new Listener(options);
  await listener.connect();
  return listener;
}

class Listener implements Listening {
  readonly #options: ListeningOptions;
  readonly #stopping = new AbortController();
  #client: pg.Client | undefined;
  /** A connection takes one statement at a time. */
  #inTurn = takeTurns(1);
  #heartbeat: NodeJS.Timeout | undefined;
  #reconnecting: Promise<void> | undefined;
  /** Names that were not announced to the other processes yet. */
  #untold = new Set<string>();
  #sendingSoon: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #sentAt = Number.NEGATIVE_INFINITY;

  constructor(options: ListeningOptions) {
    this.#options = options;
    onCommit(options.db, (changed) => {
      this.#note(changed);
      this.#sendSoon();
    });
  }

  async connect(): Promise<void> {
    const client = new SettledClient({
      connectionString: this.#options.url,
      application_name: "countersign changes",
      connectionTimeoutMillis: CONNECT_TIMEOUT,
      query_timeout: ANSWER_TIMEOUT,
      keepAlive: true,
    });
    client.on("error", (error) => this.#lose(client, error));
    client.on("end", () => this.#lose(client));
    try {
      await client.connect();
      await this.#listen(client);
    } catch (error) {
      void client.end();
      throw error;
    }
    if (this.#stopping.signal.aborted) return client.end();
    this.#client = client;
    this.#inTurn = takeTurns(1);
    this.#heartbeat = setInterval(() => {
      this.#inTurn(() => client.query("select 1")).catch((error: Error) => this.#lose(client, error));
    }, HEARTBEAT);
    this.#sendSoon();
  }

  /** Announces what is still to be announced, and closes the connection. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    clearTimeout(this.#sendingSoon);
    await this.#sending;
    await this.#send();
    const client = this.#client;
    this.#forget();
    await Promise.all([client?.end(), this.#reconnecting]);
  }

  async #listen(client: pg.Client): Promise<void> {
    const { changeBus, logger } = this.#options;
    // NOTIFY need not wait for the disk: losing one in a crash does no harm.
    await client.query("set synchronous_commit = off");
    const { pid, pooled } = await backendOf(client);
    if (pooled) {
      logger.warn("LISTEN goes through a pooler: set DATABASE_DIRECT_URL unless the pooler keeps sessions");
    }
    client.on("notification", ({ processId, payload = ALL }) => {
      // This process has published its own commits already.
      if (processId !== pid) changeBus.publish(payload === ALL ? "all" : new Set(payload.split(",")));
    });
    await client.query(`listen ${CHANNEL}`);
  }

  #lose(client: pg.Client, error?: Error): void {
    if (client !== this.#client) return;
    this.#options.logger.warn({ err: error }, "lost the connection that listens for changes; reconnecting");
    this.#forget();
    void client.end();
    this.#reconnecting = this.#reconnect();
  }

  #forget(): void {
    clearInterval(this.#heartbeat);
    this.#client = undefined;
  }

  async #reconnect(): Promise<void> {
    const { changeBus, logger } = this.#options;
    const { signal } = this.#stopping;
    for (let pause = FIRST_PAUSE; ; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
      // Random, so that not all processes reconnect at the same moment.
      await delay(pause * (0.5 + Math.random()), undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      try {
        await this.connect();
      } catch (error) {
        logger.warn({ err: error }, "cannot connect to listen for changes; will be tried again");
        continue;
      }
      changeBus.publish("all");
      return;
    }
  }

  #note(names: Iterable<string>): void {
    for (const name of names) this.#untold.add(name);
    if (this.#untold.size > MOST_NAMES) this.#untold = new Set([ALL]);
  }

  #sendSoon(): void {
    if (this.#client === undefined || this.#untold.size === 0) return;
    if (this.#sendingSoon !== undefined || this.#stopping.signal.aborted) return;
    const due = this.#sentAt + SENDING_INTERVAL - performance.now();
    this.#sendingSoon = setTimeout(
      () => {
        this.#sendingSoon = undefined;
        this.#sending = this.#send();
      },
      Math.max(0, due),
    );
  }

  async #send(): Promise<void> {
    const names = this.#untold;
    const client = this.#client;
    if (client === undefined || names.size === 0) return;
    this.#untold = new Set();
    this.#sentAt = performance.now();
    const list = [...names].join(",");
    const payload = names.has(ALL) || list.length > LONGEST_PAYLOAD ? ALL : list;
    try {
      await this.#inTurn(() => client.query("select pg_notify($1, $2)", [CHANNEL, payload]));
    } catch (error) {
      this.#options.logger.warn(
        { err: error },
        "could not notify other processes of changes; will be tried again",
      );
      this.#note(names);
    }
    this.#sendSoon();
  }
}
