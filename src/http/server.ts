import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import fastify, {
  type FastifyBaseLogger,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from "fastify";
import type { Logger } from "pino";
import { newId } from "../lib/ids.ts";
import { Problem } from "../lib/problems.ts";
import type { App } from "./app.ts";
import { refuseUnstorableText } from "./body.ts";
import { sendProblem, toEnvelope, toProblem } from "./errors.ts";
import { allowedMethods, rememberRoutes } from "./route-list.ts";
import { validatorCompiler } from "./validation.ts";

const SANE_REQUEST_ID = /^[\x21-\x7e]{1,128}$/;
const BODY_LIMIT = 64 * 1024;
const URL_LIMIT = 8 * 1024;
const REQUEST_TIMEOUT = 10_000;
const TIMEOUT_CHECK_INTERVAL = 1_000;
const KEEP_ALIVE_TIMEOUT = 72_000;
/** Asked every few seconds by whoever runs the service. */
const HEALTH = new Set(["/livez", "/readyz"]);

export type ServerOptions = { logger: Logger; trustProxy: number | string | false };

/**
 * The server before it has routes: request ids, limits, timeouts against slow clients, validation, and one
 * way to fail. Everything that goes wrong is answered with the envelope of CONTRACT.md §0.
 */
export function createServer({ logger, trustProxy }: ServerOptions): App {
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
      markReply(request as FastifyRequest, reply as FastifyReply);
      fail(error, request as FastifyRequest, reply as FastifyReply);
    },
    clientErrorHandler: refuseConnection,
  }).withTypeProvider<TypeBoxTypeProvider>();

  app.setValidatorCompiler(validatorCompiler);
  app.setErrorHandler(fail);
  rememberRoutes(app);
  app.addHook("onRequest", (request, reply, done) => {
    markReply(request, reply);
    done(refuseAddress(request));
  });
  // Node would answer an expectation that it does not know with an empty 417; RFC 9110 lets it be ignored.
  app.server.on("checkExpectation", (request, response) => app.server.emit("request", request, response));
  // A connection that is busy when the server stops would be kept alive after its answer, and hold up the stop.
  let stopping = false;
  app.addHook("preClose", async () => {
    stopping = true;
  });
  app.addHook("onSend", (_request, reply, payload, done) => {
    if (stopping) reply.header("connection", "close");
    done(null, payload);
  });
  app.addHook("preValidation", refuseUnstorableText);
  // The line about an answer holds nothing that could be a secret, and looking for one is what it would cost most.
  const answers = logger.child({}, { redact: [] });
  app.addHook("onResponse", (request, reply, done) => {
    logAnswer(answers, request, reply);
    done();
  });
  return app;
}

/**
 * Answers addresses that nothing is registered at: 405 with `Allow` when another method is, else 404, as a
 * page for people and as the envelope for programs.
 */
export function handleUnknownRoutes(app: App, sendNotFoundPage: (reply: FastifyReply) => FastifyReply): void {
  app.setNotFoundHandler(async (request, reply) => {
    const methods = allowedMethods(app, request.url);
    if (methods.length > 0) {
      reply.header("allow", methods.join(", "));
      throw new Problem("method_not_allowed");
    }
    if (pageAudience.deriveConstraint(request.raw) === "page" && !request.url.startsWith("/api/"))
      return sendNotFoundPage(reply);
    throw new Problem("not_found", { resource: "routes" }, "There is nothing at this address.");
  });
}

/**
 * Where an address is both a page and an API call: whoever brings an `Authorization` header gets the API,
 * else whoever accepts HTML gets the page, else the API answers its 401 (CONTRACT.md §0).
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
  deriveConstraint: ({ headers }: IncomingMessage): "page" | "api" =>
    headers.authorization === undefined && headers.accept?.includes("text/html") ? "page" : "api",
};

function refuseAddress({ headers, raw }: FastifyRequest): Problem | undefined {
  if (raw.url !== undefined && raw.url.length > URL_LIMIT) {
    return new Problem("bad_request", undefined, "The address is too long.");
  }
  // Node would refuse it itself, with an empty 400.
  if (headers.host === undefined && raw.httpVersion === "1.1") {
    return new Problem("bad_request", undefined, "The `Host` header is missing.");
  }
  return undefined;
}

function markReply(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  return reply.header("x-request-id", request.id).header("cache-control", "no-store");
}

function fail(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const problem = toProblem(error);
  if (problem.problem === "internal_error")
    request.log.error({ reqId: request.id, err: error }, "unforeseen error");
  if (problem.problem === "unavailable")
    request.log.warn({ reqId: request.id, err: error }, "cannot answer now");
  return sendProblem(request, reply, problem);
}

/** One line a request. The route's pattern and not the address, which can hold a secret. */
function logAnswer(log: Logger, request: FastifyRequest, reply: FastifyReply): void {
  const route = request.routeOptions.url ?? "none";
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

/** Answers what Node could not even parse, and lets go of the connection. */
function refuseConnection(error: Error & { code?: string }, socket: Socket): void {
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
  socket.end(
    `HTTP/1.1 ${line}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `Cache-Control: no-store\r\nX-Request-Id: ${requestId}\r\nConnection: close\r\n\r\n${body}`,
  );
}
