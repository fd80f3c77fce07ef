import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { StartError } from "../lib/start-error.ts";
import { Environment } from "./environment.ts";

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;
const TOKEN = /^ot_pat_[A-Za-z0-9_-]+$/;

/** The settings of the stdio program. It has none of the service's. */
export type StdioConfig = {
  /** Origin of the service that it speaks to; no slash at its end. */
  serviceUrl: string;
  /** A token that was given, which then is the only one, and is written nowhere. */
  token: string | undefined;
  /** Where tokens are kept. */
  folder: string;
};

/**
 * Reads and checks the environment of the stdio program.
 * @throws StartError with one line for every fault, all at once.
 */
export function loadStdioConfig(variables: NodeJS.ProcessEnv = process.env): StdioConfig {
  const env = new Environment(variables);
  const serviceUrl = readServiceUrl(env);
  const token = env.optional("COUNTERSIGN_TOKEN");
  if (token !== undefined && !TOKEN.test(token)) {
    env.fault("COUNTERSIGN_TOKEN must be an API key, which begins with ot_pat_");
  }
  // Relative paths count as not set, as the XDG Base Directory Specification has it.
  const given = env.optional("XDG_CONFIG_HOME");
  const home = given !== undefined && isAbsolute(given) ? given : join(homedir(), ".config");
  if (env.faults.length > 0) throw new StartError(env.faults.join("\n"));
  return { serviceUrl, token, folder: join(home, "countersign") };
}

function readServiceUrl(env: Environment): string {
  const name = "COUNTERSIGN_URL";
  if (env.optional(name) === undefined) {
    env.fault(`${name} is missing: set the address of the service, such as https://pay.example.com`);
  }
  const given = env.url(name, ["http:", "https:"]);
  if (given === undefined) return "";
  const { protocol, hostname, origin, pathname, search, hash, username, password } = new URL(given);
  if (pathname !== "/" || `${search}${hash}${username}${password}` !== "") {
    env.fault(`${name} must be an origin alone, without /mcp or anything else: https://pay.example.com`);
  }
  if (protocol !== "https:" && !LOOPBACK.test(hostname)) {
    env.fault(`${name} must be https, or a token could be read on its way (localhost aside)`);
  }
  return origin;
}
