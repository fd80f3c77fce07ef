import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import fastify, {
  type FastifyBaseLogger,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from "fastify";
import Negotiator from "negotiator";
import type { Logger } from "pino";
import { newId } from "../lib/ids.ts";
import { Problem } from "../lib/problems.ts";
import { MINUTE } from "../lib/time.ts";
import { countRequest } from "../metrics/metrics.ts";
import type { App } from "./app.ts";
import { refuseUnstorableText } from "./body.ts";
import { boundConnections, type ConnectionLimits, connectionLimits } from "./connections.ts";
import { addVary, allowOrigins } from "./cors.ts";
import type { Draining } from "./draining.ts";
import { sendProblem, toEnvelope, toProblem } from "./errors.ts";
import { readForwarded } from "./forwarded.ts";
import { SERVICE_DESC } from "./public-document.ts";
import { allowedMethods, findOpenable, rememberRoutes } from "./route-list.ts";
import { type SecurityHeaders, securityHeaders } from "./security-headers.ts";
import { validatorCompiler } from "./validation.ts";

const SANE_REQUEST_ID = /^[\x21-\x7e]{1,128}$/;
const BODY_LIMIT = 64 * 1024;
const URL_LIMIT = 8 * 1024;
const REQUEST_TIMEOUT = 10_000;
const TIMEOUT_CHECK_INTERVAL = 1_000;
const KEEP_ALIVE_TIMEOUT = 72_000;
/** Twice the longest long poll: then a caller who does not read the answer is disconnected. */
const IDLE_TIMEOUT = MINUTE;
/** How long a caller whose request could not be parsed has to read the answer. */
const LINGER = 1_000;
/** Polled every few seconds by the operator's monitoring. */
const HEALTH = new Set(["/livez", "/readyz", "/metrics"]);

export type ServerOptions = {
  logger: Logger;
  trustProxy: number | string | false;
  /** Origin at which people reach the service; for https, HSTS is sent. */
  publicUrl?: string;
  /** Origins whose pages may call the API. */
  corsOrigins?: readonly string[];
  /** Absent: what this process's file descriptors allow. */
  connections?: ConnectionLimits;
  /** Absent: the server stops at once. */
  draining?: Draining | undefined;
};

/**
 * The server before it has routes: request ids, limits, timeouts against slow clients, validation, and one
 * way to fail. Everything that goes wrong is answered with the envelope of docs/contract.md §0.
 */
export function createServer({
  logger,
  trustProxy,
  publicUrl = "",
  corsOrigins = [],
  connections,
  draining,
}: ServerOptions): App {
  const always = securityHeaders(publicUrl);
  const app = fastify({
    loggerInstance: logger as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    // Fastify takes a hop count as a function only.
    trustProxy: typeof trustProxy === "number" ? (_address, hop) => hop < trustProxy : trustProxy,
    bodyLimit: BODY_LIMIT,
    requestTimeout: REQUEST_TIMEOUT,
    // Node swaps the two if the headers have longer than the whole request, and looks only every 30 s.
    http: {
      headersTimeout: REQUEST_TIMEOUT,
      connectionsCheckingInterval: TIMEOUT_CHECK_INTERVAL,
      requireHostHeader: false,
    },
    connectionTimeout: IDLE_TIMEOUT,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT,
    forceCloseConnections: "idle",
    return503OnClosing: false,
    // Fastify would make a logger for each request, with its redaction, though hardly any request logs by it: what
    // does says `reqId` itself.
    childLoggerFactory: (parent) => parent,
    requestIdHeader: false,
    genReqId: (request) => {
      const given = request.headers["x-request-id"];
      return typeof given === "string" && SANE_REQUEST_ID.test(given) ? given : newId();
    },
    routerOptions: { maxParamLength: URL_LIMIT, constraints: { audience: pageAudience } },
    frameworkErrors: (error, request, reply) => {
      markReply(always, request as FastifyRequest, reply as FastifyReply);
      fail(error, request as FastifyRequest, reply as FastifyReply);
    },
    clientErrorHandler: (error, socket) => refuseConnection(always, error, socket),
  }).withTypeProvider<TypeBoxTypeProvider>();

  app.setValidatorCompiler(validatorCompiler);
  app.setErrorHandler(fail);
  // Without this, text would be accepted and then rejected for not being an object; 415 is clearer.
  app.removeContentTypeParser("text/plain");
  rememberRoutes(app);
  boundConnections(app.server, connections ?? connectionLimits({ behindProxy: trustProxy !== false }));
  const forwarded = readForwarded(logger, { trusted: trustProxy !== false });
  const shared = new Set<string | undefined>();
  app.addHook("onRoute", ({ url, constraints }) => {
    if (constraints?.audience !== undefined) shared.add(url);
  });
  app.addHook("onRequest", (request, reply, done) => {
    forwarded(request);
    markReply(always, request, reply);
    if (shared.has(request.routeOptions.url)) addVary(reply, AUDIENCE_HEADERS);
    done(refuseAddress(request));
  });
  allowOrigins(app, corsOrigins);
  // Node would answer an expectation that it does not know with an empty 417; RFC 9110 lets it be ignored.
  app.server.on("checkExpectation", (request, response) => app.server.emit("request", request, response));
  // Keep-alive would hold up the stop of the server.
  let stopping = false;
  app.addHook("preClose", async () => {
    stopping = true;
  });
  app.addHook("onSend", (_request, reply, payload, done) => {
    if (stopping || draining?.begun) reply.header("connection", "close");
    done(null, payload);
  });
  app.addHook("preValidation", refuseUnstorableText);
  // These lines hold no secrets, and redaction would be most of their cost.
  const answers = logger.child({}, { redact: [] });
  app.addHook("onResponse", (request, reply, done) => {
    logAnswer(answers, request, reply);
    countRequest(request.method, routeOf(request), reply.statusCode, reply.elapsedTime / 1_000);
    done();
  });
  return app;
}

/**
 * Answers unknown addresses before the body is read: 405 with `Allow` if another method is registered, else 404, as a
 * page for people and as the envelope for programs. A person who opens the address that a form is sent to is led to its page.
 */
export function handleUnknownRoutes(app: App, sendNotFoundPage: (reply: FastifyReply) => FastifyReply): void {
  const refuse = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const methods = allowedMethods(app, request.url);
    const isPage = pageAudience.deriveConstraint(request.raw) === "page" && !request.url.startsWith("/api/");
    if (isPage && request.method === "GET" && methods.includes("POST") && !methods.includes("GET"))
      return reply.redirect(findOpenable(app, request.url), 303);
    if (methods.length > 0 && !methods.includes(request.method)) {
      reply.header("allow", methods.join(", "));
      throw new Problem("method_not_allowed");
    }
    addVary(reply, AUDIENCE_HEADERS);
    if (isPage) return sendNotFoundPage(reply);
    reply.header("link", SERVICE_DESC);
    throw new Problem("not_found", { resource: "routes" }, "There is nothing at this address.");
  };
  // Not async: a promise for each request costs more than the look.
  app.addHook("onRequest", (request, reply, done) => {
    if (!request.is404) return done();
    void refuse(request, reply).catch(done);
  });
  // Also for routes that call it themselves; without a handler the hook would not run.
  app.setNotFoundHandler(refuse);
}

/** What decides between page and API. */
const AUDIENCE_HEADERS = "Accept, Authorization";
/** What an address can answer with where it is both; of two that are as welcome, the first. */
const AUDIENCE_TYPES = ["application/json", "text/html"];

/**
 * Where an address is both a page and an API call: a request with an `Authorization` header gets the API, else one that
 * would rather have HTML than JSON gets the page, else the API answers its 401 (docs/contract.md §0).
 */
const pageAudience = {
  name: "audience",
  storage: () => {
    const handlers = new Map();
    return {
      get: (audience: unknown) => handlers.get(audience) ?? null,
      set: (audience: unknown, handler: unknown) => void handlers.set(audience, handler),
    };
  },
  deriveConstraint: (request: IncomingMessage): "page" | "api" => {
    const { authorization, accept } = request.headers;
    if (authorization !== undefined || accept === undefined) return "api";
    return new Negotiator(request).mediaType(AUDIENCE_TYPES) === "text/html" ? "page" : "api";
  },
};

function refuseAddress({ headers, raw }: FastifyRequest): Problem | undefined {
  if (raw.url !== undefined && raw.url.length > URL_LIMIT) {
    return new Problem("bad_request", undefined, "The address is too long.");
  }
  // Node would refuse it itself, with an empty 400.
  if (headers.host === undefined && raw.httpVersion === "1.1") {
    return new Problem("bad_request", undefined, "The `Host` header is missing.");
  }
  if (hasTwoHosts(raw)) return new Problem("bad_request", undefined, "There are two `Host` headers.");
  return undefined;
}

/** Of two, Node would keep the first, and a proxy in front may have gone by the other (RFC 9112 §3.2). */
function hasTwoHosts({ rawHeaders }: IncomingMessage): boolean {
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i];
    if (name?.length === 4 && name.toLowerCase() === "host") hosts += 1;
  }
  return hosts > 1;
}

function markReply(always: SecurityHeaders, request: FastifyRequest, reply: FastifyReply): void {
  reply.header("x-request-id", request.id).header("cache-control", "no-store");
  for (const [name, value] of always) reply.header(name, value);
}

function fail(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const problem = toProblem(error);
  if (problem.problem === "internal_error")
    request.log.error({ reqId: request.id, err: error }, "unforeseen error");
  if (problem.problem === "unavailable")
    request.log.warn({ reqId: request.id, err: error }, "cannot answer now");
  return sendProblem(request, reply, problem);
}

/** The route's pattern; `none` for all addresses that are none. */
function routeOf(request: FastifyRequest): string {
  return request.routeOptions.url ?? "none";
}

/** Logs one line for each request, with the route's pattern: the address can hold a secret. */
function logAnswer(log: Logger, request: FastifyRequest, reply: FastifyReply): void {
  const route = routeOf(request);
  log[HEALTH.has(route) ? "debug" : "info"](
    {
      reqId: request.id,
      method: request.method,
      route,
      status: reply.statusCode,
      ms: Math.round(reply.elapsedTime * 10) / 10,
    },
    "answered",
  );
}

/**
 * Answers requests that Node could not parse, then closes the connection. The caller gets a moment to read the answer:
 * destroying a socket with unread bytes resets the connection, and the answer is lost.
 */
function refuseConnection(always: SecurityHeaders, error: Error & { code?: string }, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const [line, message] =
    error.code === "HPE_HEADER_OVERFLOW"
      ? ["431 Request Header Fields Too Large", "The request's headers are too large."]
      : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? ["408 Request Timeout", "The request did not arrive whole in time."]
        : ["400 Bad Request", "This is not an HTTP request that can be read."];
  const requestId = newId();
  const body = JSON.stringify(toEnvelope(new Problem("bad_request", undefined, message), requestId));
  const headers = [
    ["Content-Type", "application/json; charset=utf-8"],
    ["Content-Length", Buffer.byteLength(body)],
    ["Cache-Control", "no-store"],
    ["X-Request-Id", requestId],
    ...always,
    ["Connection", "close"],
  ].map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${line}\r\n${headers.join("")}\r\n${body}`);
  const cut = setTimeout(() => socket.destroy(), LINGER);
  socket.once("close", () => clearTimeout(cut));
}
