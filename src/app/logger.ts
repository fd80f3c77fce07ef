import { type DestinationStream, type Logger, type LoggerOptions, pino, stdSerializers } from "pino";
import { countAlert } from "../metrics/metrics.ts";
import { traceFields } from "../metrics/tracing.ts";

/** What is never written to a log, wherever it turns up in a logged object. */
const SECRETS = [
  "authorization",
  "cookie",
  "token",
  "secret",
  "client_secret",
  "password",
  "digest",
  "inviteUrl",
  "operatorApiKeys",
];

/**
 * The fields of an error that are logged besides message and stack. Libraries add secrets to others: Stripe's client the
 * whole intent with its `client_secret`, pg the row that was in the way.
 */
const TOLD = ["code", "statusCode", "decline_code", "requestId", "responseCode", "constraint", "syscall"];

/** Counts what needs a person, so that it can be alerted on without reading the log. */
const hooks: NonNullable<LoggerOptions["hooks"]> = {
  logMethod(args, method) {
    const [fields] = args as unknown[];
    if (typeof fields === "object" && fields !== null && "alert" in fields) countAlert(String(fields.alert));
    method.apply(this, args);
  },
};

/** The log: one JSON object a line, with secrets taken out. */
export function createLogger(level: string, destination?: DestinationStream): Logger {
  const paths = SECRETS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);
  const redact = { paths, censor: "[secret]" };
  const serializers = { err: describeError };
  const options = { level, base: null, redact, serializers, mixin: traceFields, hooks };
  return destination === undefined ? pino(options) : pino(options, destination);
}

/**
 * Why a call of Stripe's client found no answer, as code and message: the name was not found, the certificate is another's.
 * Its own message says only that there was none. Postgres's errors have a text there that holds rows.
 */
export function connectionFault(error: object): string | undefined {
  const { detail } = error as { detail?: unknown };
  if (!(detail instanceof Error)) return undefined;
  return ["code" in detail && detail.code, detail.message].filter(Boolean).join(": ");
}

function describeError(error: unknown): unknown {
  if (!(error instanceof Error))
    return typeof error === "string" ? { message: error } : { type: typeof error };
  const { type, message, stack } = stdSerializers.err(error);
  const told = TOLD.filter((name) => name in error).map((name) => [name, Reflect.get(error, name)]);
  const several = error instanceof AggregateError && { aggregateErrors: error.errors.map(describeError) };
  const fault = connectionFault(error);
  const found = Object.fromEntries(told);
  return { type, message, ...(fault !== undefined && { fault }), stack, ...found, ...several };
}
