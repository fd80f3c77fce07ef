import { type DestinationStream, type Logger, pino } from "pino";

/** What is never written to a log, wherever it turns up in a logged object. */
const SECRETS = [
  "authorization",
  "cookie",
  "token",
  "secret",
  "password",
  "digest",
  "inviteUrl",
  "operatorApiKeys",
];

/** The log: one JSON object a line, with secrets taken out. */
export function createLogger(level: string, destination?: DestinationStream): Logger {
  const paths = SECRETS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);
  const options = { level, base: null, redact: { paths, censor: "[secret]" } };
  return destination === undefined ? pino(options) : pino(options, destination);
}
