import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import Stripe from "stripe";
import { type Desk, newId } from "./books.ts";
import { ENDPOINTS, ENDPOINTS_FOR_PAGES, type Endpoint } from "./endpoints.ts";
import type { Faults } from "./faults.ts";
import { type Given, readForm } from "./form.ts";
import { canonical, claimKey } from "./idempotency.ts";
import { expandPaths } from "./lists.ts";
import { NotPlayed } from "./parameters.ts";
import { docUrl, Invalid, Refusal } from "./refusals.ts";

const DELAY = 3_000;

type Answer = { status: number; body: string; headers?: Record<string, string> };

export type ApiDeps = {
  desk: Desk;
  faults: Faults;
  keys: { secretKey: string; publishableKey: string };
  /** Told of what a test asked for that is not played here. */
  onNotPlayed: (what: string) => void;
};

type Call = {
  endpoint: Endpoint;
  address: string;
  id: string;
  given: Record<string, Given>;
  key: string | undefined;
  requestId: string;
};

/** Answers a request of Stripe's API, or does to it what a fault says. */
export async function answerApi(
  deps: ApiDeps,
  request: IncomingMessage,
  response: ServerResponse,
  body: string,
): Promise<void> {
  const requestId = newId("req", 14);
  response.setHeader("Request-Id", requestId);
  response.setHeader("Stripe-Version", Stripe.API_VERSION);
  response.setHeader("Access-Control-Allow-Origin", "*");
  try {
    const call = readCall(deps, request, body, requestId);
    const { endpoint, key } = call;
    const fault = deps.faults.strike(endpoint.name, (text) => mentions(deps.desk, call, text));
    if (fault?.does === "hold" || fault?.does === "delay") {
      // The key is taken meanwhile, as the first request is still being executed.
      const execute = claim(deps, call);
      await (fault.does === "hold" ? fault.lifted : delay(DELAY, undefined, { ref: false }));
      return send(response, execute());
    }
    const desk = { ...deps.desk, bankIsSlow: fault?.does === "processing" };
    const answer = (): Answer => claim({ ...deps, desk }, call)();
    if (fault === undefined || fault.does === "processing") return send(response, answer());
    if (fault.when === "after") answer();
    const wrong = fault.does === "hollow" ? hollow(answer()) : FAULTY[fault.does];
    if (wrong === undefined) return await breakOff(fault.does as "reset" | "timeout", fault.lifted, response);
    if (fault.does === "error" && key !== undefined) keep(deps.desk, call, wrong);
    send(response, wrong);
  } catch (error) {
    if (error instanceof NotPlayed) deps.onNotPlayed(error.message);
    send(response, toAnswer(error, requestId));
  }
}

/** Takes the request's key, and gives what executes it or repeats its first answer. */
function claim({ desk }: ApiDeps, { endpoint, address, id, given, key, requestId }: Call): () => Answer {
  const request = { endpoint: address, parameters: canonical(given), requestId };
  const taken = key === undefined ? undefined : claimKey(desk.books, key, request);
  if (taken?.replay !== undefined) {
    const headers = {
      "Idempotent-Replayed": "true",
      "Original-Request": taken.entry.requestId,
      "Stripe-Should-Retry": "false",
    };
    return () => ({ ...(taken.replay as Answer), headers: { ...headers, "Idempotency-Key": key ?? "" } });
  }
  const forget = () => (key === undefined ? false : desk.books.keys.delete(key));
  return () => {
    let answer: Answer;
    try {
      const { expand = [] } = given as { expand?: string[] };
      const whole = endpoint.read(given)(desk, id);
      answer = { status: 200, body: JSON.stringify(expandPaths(desk, whole, expand), undefined, 2) };
    } catch (error) {
      // What was never executed is not kept.
      if (error instanceof Invalid || !(error instanceof Refusal)) {
        forget();
        throw error;
      }
      answer = toAnswer(error, requestId);
    }
    if (taken !== undefined) taken.entry.answer = { status: answer.status, body: answer.body };
    return answer;
  };
}

function keep({ books }: Desk, { address, given, key, requestId }: Call, answer: Answer): void {
  if (key === undefined) return;
  const keptAt = Date.now() + books.ahead;
  const { status, body } = answer;
  books.keys.set(key, {
    endpoint: address,
    parameters: canonical(given),
    requestId,
    keptAt,
    answer: { status, body },
  });
}

const said = (type: string, message: string, code?: string): string =>
  JSON.stringify({ error: { type, message, ...(code && { code, doc_url: docUrl(code) }) } }, undefined, 2);

const FAULTY: Partial<Record<string, Answer>> = {
  rate_limit: {
    status: 429,
    body: said(
      "invalid_request_error",
      "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits.",
      "rate_limit",
    ),
    headers: { "Stripe-Rate-Limited-Reason": "global-rate" },
  },
  lock_timeout: {
    status: 429,
    body: said(
      "invalid_request_error",
      "This object cannot be accessed right now because another API request or Stripe process is currently accessing it. If you see this error intermittently, retry the request.",
      "lock_timeout",
    ),
  },
  unauthorized: {
    status: 401,
    body: said("invalid_request_error", "Invalid API Key provided: sk_test_********************0000"),
  },
  error: {
    status: 500,
    body: said("api_error", "An unknown error occurred"),
    headers: { "Stripe-Should-Retry": "false" },
  },
  unavailable: { status: 503, body: said("api_error", "Service Unavailable") },
  no_error_key: { status: 400, body: JSON.stringify({ message: "Bad Request" }) },
  garbled: { status: 200, body: "<html><body>Bad Gateway</body></html>" },
  nonsense: { status: 200, body: JSON.stringify({ hello: ["world"], id: 7 }) },
  nothing: { status: 200, body: "null" },
};

/** What says what it is, and nothing more. */
function hollow({ body }: Answer): Answer {
  const { object, id } = JSON.parse(body);
  return { status: 200, body: JSON.stringify({ object, id, card: {}, metadata: {} }) };
}

async function breakOff(
  does: "reset" | "timeout",
  lifted: Promise<void>,
  response: ServerResponse,
): Promise<void> {
  if (does === "timeout") {
    const gone = new Promise<void>((resolve) => response.once("close", resolve));
    await Promise.race([gone, lifted]);
  }
  response.socket?.resetAndDestroy();
  await delay(0);
}

function readCall(
  { keys }: ApiDeps,
  { method = "GET", url = "", headers }: IncomingMessage,
  body: string,
  requestId: string,
): Call {
  const { pathname, search } = new URL(url, "http://stripe");
  if (body !== "" && !/^application\/x-www-form-urlencoded\b/.test(headers["content-type"] ?? "")) {
    const message =
      "Invalid request (check that your POST content type is application/x-www-form-urlencoded). If you have any questions, we can help at https://support.stripe.com/.";
    throw new Refusal(400, { type: "invalid_request_error", message });
  }
  const { key: fieldKey, ...given } = readForm(
    method === "GET" || method === "DELETE" ? search.slice(1) : body,
  );
  const apiKey =
    headers.authorization?.replace(/^Bearer /, "") ?? (typeof fieldKey === "string" ? fieldKey : undefined);
  checkKey(keys, apiKey);
  checkVersion(headers["stripe-version"]);
  const forPage = apiKey === keys.publishableKey;
  const found = findEndpoint(forPage ? ENDPOINTS_FOR_PAGES : ENDPOINTS, method, pathname);
  if (found === undefined) {
    if (forPage && findEndpoint(ENDPOINTS, method, pathname) !== undefined) {
      const message =
        "This API call cannot be made with a publishable API key. Please use a secret API key. You can find a list of your API keys at https://dashboard.stripe.com/account/apikeys.";
      throw new Refusal(403, { type: "invalid_request_error", code: "secret_key_required", message });
    }
    const message = `Unrecognized request URL (${method}: ${pathname}). Please see https://stripe.com/docs or we can help at https://support.stripe.com/.`;
    throw new Refusal(404, { type: "invalid_request_error", message });
  }
  const key = method === "POST" ? headers["idempotency-key"] : undefined;
  return { ...found, address: pathname, given, requestId, key: typeof key === "string" ? key : undefined };
}

function checkKey({ secretKey, publishableKey }: ApiDeps["keys"], given: string | undefined): void {
  if (given === secretKey || given === publishableKey) return;
  const message =
    given === undefined || given === ""
      ? "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
      : `Invalid API Key provided: ${given.slice(0, 8)}${"*".repeat(Math.max(0, given.length - 12))}${given.slice(-4)}`;
  throw new Refusal(401, { type: "invalid_request_error", message });
}

function checkVersion(version: string | string[] | undefined): void {
  if (version === undefined || version === Stripe.API_VERSION) return;
  if (typeof version !== "string" || !/^\d{4}-\d{2}-\d{2}(\.[a-z]+)?$/.test(version)) {
    throw new Refusal(400, {
      type: "invalid_request_error",
      message: `Invalid Stripe API version: ${String(version)}`,
    });
  }
  throw new NotPlayed(`this counterpart plays version ${Stripe.API_VERSION} alone, not ${version}`);
}

function findEndpoint(
  endpoints: readonly Endpoint[],
  method: string,
  pathname: string,
): { endpoint: Endpoint; id: string } | undefined {
  for (const endpoint of endpoints) {
    const [itsMethod, path = ""] = endpoint.name.split(" ");
    const match = new RegExp(`^${path.replace(":id", "([^/]+)")}$`).exec(pathname);
    if (itsMethod === method && match !== null) return { endpoint, id: decodeURIComponent(match[1] ?? "") };
  }
  return undefined;
}

/** Whether a text stands in a request's address or fields, or in the intent that it is about. */
function mentions({ books }: Desk, { address, given, id }: Call, text: string): boolean {
  const intent = books.intents.get(id)?.intent ?? books.setupIntents.get(id)?.intent;
  return [address, JSON.stringify(given), JSON.stringify(intent ?? null)].some((part) => part.includes(text));
}

function toAnswer(error: unknown, requestId: string): Answer {
  if (error instanceof NotPlayed) {
    const body = said("invalid_request_error", error.message, "not_played");
    return { status: 400, body, headers: { "Stripe-Should-Retry": "false" } };
  }
  if (!(error instanceof Refusal)) throw error;
  const { status, body, headers } = error;
  const request_log_url = `https://dashboard.stripe.com/test/logs/${requestId}`;
  const whole = { ...body, ...(body.code && { doc_url: docUrl(body.code) }), request_log_url };
  return { status, headers, body: JSON.stringify({ error: whole }, undefined, 2) };
}

function send(response: ServerResponse, { status, body, headers }: Answer): void {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(body);
}
