import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { join } from "node:path";
import type Stripe from "stripe";
import { bookTransaction } from "./balance.ts";
import { BANK_PATH, bankHtml, findAttempt, returnAddress } from "./bank-page.ts";
import { type Books, type Desk, emptyBooks, look, newId } from "./books.ts";
import type { Decline } from "./cards.ts";
import { paySession } from "./checkout-sessions.ts";
import { answerIntent, settleProcessing } from "./confirmations.ts";
import { Deliveries } from "./deliveries.ts";
import { closeDispute, openDispute } from "./disputes.ts";
import { type Fault, Faults, type Planned } from "./faults.ts";
import { createRefund, failRefund, settleRefund } from "./refunds.ts";
import { answerApi } from "./server.ts";
import { answerSetup } from "./setup-intents.ts";
import { reverseTransfer } from "./transfers.ts";

const BROWSER = join(import.meta.dirname, "browser");

export type FakeStripe = {
  /** Where its API listens: `http://127.0.0.1:…`. */
  url: string;
  /** The same, as the SDK wants to have it. */
  at: { host: string; port: number; protocol: "http" };
  secretKey: string;
  publishableKey: string;
  webhookSecret: string;
  /** What it remembers. To be read by tests; changed by requests and the verbs below alone. */
  books: Books;
  deliveries: Deliveries;
  /** What was asked of it that it does not play: a test that leaves something here has proved nothing. */
  notPlayed: string[];
  /** Plans a fault; they strike in the order in which they were planned. */
  plan(fault: Fault): Planned;
  /** Puts this many cents of the platform's own into its balance, available at once; with a minus takes them out. */
  addBalance(cents: number): void;
  /** Puts its clock forward: idempotency keys expire, balances become available. */
  advance(seconds: number): void;
  /** What the person does at their bank, whose page `next_action` names, without a browser. */
  answerBank(intentId: string, passed: boolean): void;
  /** What a person does on Stripe's page: pays with this card. Throws what their bank says. */
  payCheckout(sessionId: string, card?: string): Stripe.Checkout.Session;
  /** What becomes of an intent that a fault has left `processing`. */
  settle(intentId: string, decline?: Decline): void;
  /** What a cardholder does at their bank: takes back what a charge, or an intent's charge, has moved. */
  dispute(id: string, reason?: string, amount?: number): Stripe.Dispute;
  closeDispute(id: string, status: "won" | "lost"): Stripe.Dispute;
  /** What a person does at Stripe's dashboard. */
  refund(intentId: string, amount?: number): Stripe.Refund;
  failRefund(id: string): Stripe.Refund;
  /** What the bank says of a refund that is pending. */
  settleRefund(id: string): Stripe.Refund;
  /** Money that comes back from a connected account, whole. */
  reverseTransfer(id: string): Stripe.Transfer;
  /** The charges that have moved money, by their intents. */
  charges(): Map<string, Stripe.Charge>;
  sendEventsTo(url: string): void;
  /** Another Stripe that remembers the same, with the faults to come. Events of it go nowhere at first. */
  copy(): Promise<FakeStripe>;
  close(): Promise<void>;
};

type Options = {
  /** Where to begin. */
  from?: Pick<FakeStripe, "books" | "secretKey" | "publishableKey" | "webhookSecret">;
  /** Where the bank's page is said to be. By default here; a browser whose requests are routed goes to Stripe's. */
  bankOrigin?: string;
};

/**
 * Starts a Stripe to test against, on loopback: it answers in Stripe's own shapes, remembers what it was told,
 * moves intents from state to state as Stripe documents it, and makes whatever mistake it is asked for.
 */
export async function startFakeStripe({ from, bankOrigin }: Options = {}): Promise<FakeStripe> {
  const books = from === undefined ? emptyBooks() : structuredClone(from.books);
  const faults = new Faults();
  const notPlayed: string[] = [];
  const {
    secretKey = newId("sk_test"),
    publishableKey = newId("pk_test"),
    webhookSecret = newId("whsec", 32),
  } = from ?? {};
  const deliveries = new Deliveries(webhookSecret);
  const desk: Desk = {
    books,
    bankIsSlow: false,
    bankOrigin: () => bankOrigin ?? fake.url,
    onEvent: (event) => deliveries.add(event),
  };
  const api = {
    desk,
    faults,
    keys: { secretKey, publishableKey },
    onNotPlayed: (what: string) => notPlayed.push(what),
  };
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      notPlayed.push(String(error));
      response.destroy();
    });
  });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? "/", fake.url);
    const body = await readBody(request);
    if (request.method === "OPTIONS") return allowPages(response);
    if (pathname.startsWith("/v1/")) return answerApi(api, request, response, body);
    if (pathname === BANK_PATH) return showBank(request.method ?? "GET", searchParams, body, response);
    if (pathname.startsWith("/control/")) return control(pathname.slice("/control/".length), body, response);
    return serveScript(pathname, response);
  }

  function showBank(method: string, query: URLSearchParams, body: string, response: ServerResponse): void {
    const held = findAttempt(desk, query);
    if (method !== "POST" || held?.attempt === undefined) {
      response.writeHead(held === undefined ? 404 : 200, { "content-type": "text/html; charset=utf-8" });
      response.end(bankHtml(held));
      return;
    }
    const location = returnAddress(held.intent, held.attempt);
    fake.answerBank(held.intent.id, new URLSearchParams(body).get("answer") === "complete");
    response.writeHead(303, { location }).end();
  }

  function control(verb: string, body: string, response: ServerResponse): void {
    const run = CONTROLS[verb];
    const result = run?.(fake, body === "" ? {} : JSON.parse(body));
    response.writeHead(run === undefined ? 404 : 200, { "content-type": "application/json" });
    response.end(JSON.stringify(result ?? {}));
  }

  const fake: FakeStripe = {
    url: "",
    at: { host: "127.0.0.1", port: 0, protocol: "http" },
    secretKey,
    publishableKey,
    webhookSecret,
    books,
    deliveries,
    notPlayed,
    plan: (fault) => faults.plan(fault),
    addBalance(amount) {
      const own = { id: newId("topup"), currency: "usd" };
      bookTransaction(desk, own, { type: "adjustment", amount, fee: 0 }).available_on = 0;
    },
    advance(seconds) {
      books.ahead += seconds * 1_000;
    },
    answerBank(id, passed) {
      const setup = books.setupIntents.get(id);
      if (setup !== undefined) answerSetup(desk, setup, passed);
      else answerIntent(desk, look(desk, "intents", id), passed);
    },
    payCheckout: (id, card = "pm_card_visa") => paySession(desk, id, card),
    settle: (id, decline) => settleProcessing(desk, id, decline),
    dispute(id, reason = "fraudulent", amount) {
      const charge = books.charges.get(id) ?? fake.charges().get(id);
      if (charge === undefined) throw new TypeError(`no money has moved for ${id}`);
      return openDispute(desk, charge, reason, amount);
    },
    closeDispute: (id, status) => closeDispute(desk, id, status),
    refund: (intentId, amount) =>
      createRefund(desk, { payment_intent: intentId, ...(amount !== undefined && { amount }) }),
    failRefund: (id) => failRefund(desk, id),
    settleRefund: (id) => settleRefund(desk, id),
    reverseTransfer: (id) => reverseTransfer(desk, id),
    charges() {
      const paid = [...books.charges.values()].filter(({ status }) => status === "succeeded");
      return new Map(paid.map((charge) => [String(charge.payment_intent), charge]));
    },
    sendEventsTo(url) {
      deliveries.endpoint = url;
    },
    async copy() {
      const copy = await startFakeStripe({ from: fake, ...(bankOrigin !== undefined && { bankOrigin }) });
      for (const fault of faults.toCome()) copy.plan(fault);
      return copy;
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await deliveries.settled();
    },
  };

  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new TypeError("a port was asked for");
  fake.at.port = address.port;
  fake.url = `http://127.0.0.1:${address.port}`;
  return fake;
}

/** The verbs that other processes may use, as `POST /control/{verb}` with JSON. */
const CONTROLS: Record<string, (fake: FakeStripe, given: any) => unknown> = {
  plan: (fake, fault: Fault) => void fake.plan(fault),
  advance: (fake, { seconds }: { seconds: number }) => fake.advance(seconds),
  answer: (fake, { id, passed }: { id: string; passed: boolean }) => fake.answerBank(id, passed),
  settle: (fake, { id }: { id: string }) => fake.settle(id),
  dispute: (fake, { id }: { id: string }) => fake.dispute(id),
  refund: (fake, { id, amount }: { id: string; amount?: number }) => fake.refund(id, amount),
  charges: (fake) => [...fake.charges().values()],
};

function allowPages(response: ServerResponse): void {
  response.writeHead(200, {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET, POST, HEAD, OPTIONS, DELETE",
    "access-control-allow-headers": "authorization, content-type, stripe-version",
  });
  response.end();
}

/** What `js.stripe.com` serves: the script, whatever version a page names, and the frame with the card's fields. */
async function serveScript(pathname: string, response: ServerResponse): Promise<void> {
  const [file, type] = pathname.endsWith("/frame.html")
    ? ["frame.html", "text/html; charset=utf-8"]
    : pathname.endsWith("/frame.js")
      ? ["frame.js", "text/javascript; charset=utf-8"]
      : ["stripe.js", "text/javascript; charset=utf-8"];
  response.writeHead(200, { "content-type": type });
  response.end(await readFile(join(BROWSER, file)));
}

async function readBody(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
}
