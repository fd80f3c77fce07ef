import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { sql } from "kysely";
import { expect } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { readClock } from "../../src/database/clock.ts";
import type { Db } from "../../src/database/connection.ts";
import type { App } from "../../src/http/app.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { createDeliveryClient, type DeliveryClient } from "../../src/webhooks/delivery-client.ts";
import { createDispatcher, type Dispatcher } from "../../src/webhooks/dispatch-service.ts";
import { listDueWebhooks } from "../../src/webhooks/dispatch-store.ts";
import { closeAfterFile } from "./closing.ts";
import { type Answer, call, createFixture, type Fixture, type FixtureOptions, operate } from "./fixtures.ts";
import type { TestService } from "./service.ts";

/** What a service needs so that its webhooks may lead to this machine. */
export const TO_LOOPBACK = { WEBHOOK_PRIVATE_HOSTS: "127.0.0.1" };
export const FEATURES = {
  public_api_payments_write: true,
  public_api_credits: true,
  public_api_webhooks: true,
};

export type Received = { path: string; headers: IncomingHttpHeaders; body: string };
/** How a receiver answers a path: with a status, or not until it is told to. */
export type Answering = (request: Received, response: ServerResponse) => number | "hang";

export type Receiver = {
  port: number;
  url(path?: string): string;
  /** Every request that arrived whole, in that order. */
  received: Received[];
  /** Requests under way, and the most that there were at once. */
  open: number;
  mostOpen: number;
  answer: Answering;
  /** Answers all that hang. */
  letGo(status?: number): void;
  close(): Promise<void>;
};

/** A real HTTP server that takes deliveries; it goes with the test file. */
export async function startReceiver(answer: Answering = () => 200, port = 0): Promise<Receiver> {
  const hanging = new Set<ServerResponse>();
  const server = createServer((request, response) => {
    receiver.open += 1;
    receiver.mostOpen = Math.max(receiver.mostOpen, receiver.open);
    response.once("close", () => {
      receiver.open -= 1;
      hanging.delete(response);
    });
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString();
      const received = { path: request.url ?? "", headers: request.headers, body };
      receiver.received.push(received);
      const status = receiver.answer(received, response);
      if (status === "hang") hanging.add(response);
      else response.writeHead(status).end();
    });
  }).listen(port, "127.0.0.1");
  await once(server, "listening");
  const receiver: Receiver = {
    port: (server.address() as AddressInfo).port,
    url: (path = "/") => `http://127.0.0.1:${receiver.port}${path}`,
    received: [],
    open: 0,
    mostOpen: 0,
    answer,
    letGo(status = 200) {
      for (const response of hanging) response.writeHead(status).end();
    },
    async close() {
      server.closeAllConnections();
      if (!server.listening) return;
      server.close();
      await once(server, "close");
    },
  };
  closeAfterFile(() => receiver.close());
  return receiver;
}

/** Calls the webhooks' API. */
export function callWebhooks(
  app: App,
  method: "GET" | "POST" | "DELETE",
  path: string,
  options: Parameters<typeof call>[3] = {},
): Promise<Answer> {
  return call(app, method, `/api/public/v1/webhooks${path}`, options);
}

export type Subscription = { id: string; secret: string };

/** Subscribes a URL; fails the test when that is refused. */
export async function subscribe(
  app: App,
  token: string,
  url: string,
  eventTypes: readonly string[] = ["message.received"],
): Promise<Subscription> {
  const { status, body, text } = await callWebhooks(app, "POST", "", { token, body: { url, eventTypes } });
  expect(status, text).toBe(201);
  return { id: body.webhook.id, secret: body.secret };
}

/** An account of the test's own that may have webhooks. */
export function createSubscriber(app: App, options: FixtureOptions = {}): Promise<Fixture> {
  return createFixture(app, { features: FEATURES, ...options });
}

/** Has the operator tell of a message: an event of the account. */
export function postMessage(app: App, { account }: Fixture, resourceId = "message-1"): Promise<any> {
  return operate(app, "POST", `/accounts/${account}/events`, { type: "message.received", resourceId });
}

/** A webhook that leads nowhere, with one delivery. */
export async function createDelivery(
  app: App,
  fixture: Fixture,
): Promise<{ webhookId: string; deliveryId: string }> {
  const { id } = await subscribe(app, fixture.token, "https://receiver.invalid/webhooks");
  await postMessage(app, fixture);
  const { body } = await callWebhooks(app, "GET", `/${id}/deliveries`, { token: fixture.token });
  return { webhookId: id, deliveryId: body.deliveries[0].id };
}

/** A dispatcher as `work` runs it, but that sweeps when it is told to. */
export function openDispatcher(
  { db, config }: Pick<TestService, "db" | "config">,
  client: DeliveryClient = createDeliveryClient({
    privateHosts: config.webhookPrivateHosts,
    allowLocalhost: false,
    maxSockets: 200,
  }),
): Dispatcher {
  const dispatcher = createDispatcher({ db, config, client, logger: createLogger("silent") }, () => {});
  closeAfterFile(async () => {
    const stopping = dispatcher.stop();
    await client.close();
    await stopping;
  });
  return dispatcher;
}

/** Sweeps until nothing is due that may be sent. */
export async function deliverAll(db: Db, dispatcher: Dispatcher): Promise<void> {
  const isDue = async () => {
    const now = await readClock(db);
    const lanes = await Promise.all([false, true].map((slow) => listDueWebhooks(db, slow, now, 1)));
    return lanes.flat().length > 0;
  };
  while (await isDue()) {
    await dispatcher.sweep();
    await dispatcher.idle();
  }
}

/** Turns the account's clock of webhooks forward: everything that is written down for a time is so much nearer. */
export async function passTime(db: Db, { account }: Fixture, seconds: number): Promise<void> {
  const accountId = accountKey(account);
  const span = sql`make_interval(secs => ${seconds})`;
  await sql`
    update webhooks set due_at = due_at - ${span}, leased_until = leased_until - ${span},
      old_secret_until = old_secret_until - ${span}
    where account_id = ${accountId}`.execute(db);
  await sql`
    update webhook_deliveries set due_at = due_at - ${span}
    where account_id = ${accountId} and status = 'PENDING'`.execute(db);
}
