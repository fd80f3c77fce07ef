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
/** Stands for everybody, where the names are too many. */
const EVERYBODY = "*";
/** Postgres takes payloads below 8,000 bytes. */
const LONGEST_PAYLOAD = 7_999;
/** More names than fit into a payload. */
const MOST_NAMES = 1_000;
/** 20 a second at most: NOTIFY takes a lock that all who notify in this database queue for. */
const SENDING_INTERVAL = 50;
const CONNECT_TIMEOUT = 3_000;
const ANSWER_TIMEOUT = 5_000;
/** How often the connection is tried: one whose other end has vanished would be silent for ever. */
const HEARTBEAT = 10_000;
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 10_000;

export type Listening = { stop(): Promise<void> };

export type ListeningOptions = {
  /** Whose commits the other processes are told of. */
  db: Db;
  /** Who is told of theirs. */
  changeBus: ChangeBus;
  /** Leads to Postgres itself: behind a pooler in transaction mode nobody listens. */
  url: string;
  logger: Logger;
};

/**
 * Ties this process's wake-ups to those of all others, by LISTEN and NOTIFY on one connection of its own
 * (DESIGN.md, Waiting). A connection that breaks comes back by itself; nobody knows what was missed meanwhile,
 * so that everybody is woken. Resolves once it listens.
 * @throws whatever the first try to connect ends with
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
  /** Whom the other processes have not been told of yet. */
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

  /** Tells the others what they have not been told yet, and closes the connection. */
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
    // Else each wake-up would wait for the disk. One that a crash of the database loses is one that it missed.
    await client.query("set synchronous_commit = off");
    const { pid, pooled } = await backendOf(client);
    if (pooled) {
      logger.warn("wake-ups go through a pooler: unless it keeps sessions, set DATABASE_DIRECT_URL");
    }
    client.on("notification", ({ processId, payload = EVERYBODY }) => {
      // Our own commits have woken this process already.
      if (processId !== pid) changeBus.publish(payload === EVERYBODY ? "all" : new Set(payload.split(",")));
    });
    await client.query(`listen ${CHANNEL}`);
  }

  #lose(client: pg.Client, error?: Error): void {
    if (client !== this.#client) return;
    this.#options.logger.warn({ err: error }, "the connection for wake-ups broke; it will be made anew");
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
      // Not all processes at the same moment, as the database has gone for all at once.
      await delay(pause * (0.5 + Math.random()), undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      try {
        await this.connect();
      } catch (error) {
        logger.warn({ err: error }, "the connection for wake-ups cannot be made; it will be tried again");
        continue;
      }
      changeBus.publish("all");
      return;
    }
  }

  #note(names: Iterable<string>): void {
    for (const name of names) this.#untold.add(name);
    if (this.#untold.size > MOST_NAMES) this.#untold = new Set([EVERYBODY]);
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
    const payload = names.has(EVERYBODY) || list.length > LONGEST_PAYLOAD ? EVERYBODY : list;
    try {
      await this.#inTurn(() => client.query("select pg_notify($1, $2)", [CHANNEL, payload]));
    } catch (error) {
      this.#options.logger.warn({ err: error }, "others could not be woken; it will be tried again");
      this.#note(names);
    }
    this.#sendSoon();
  }
}
