import { promises as dns, type LookupAddress } from "node:dns";
import { isNamed, type TargetRules } from "./target-rules.ts";

/** Resolves a host. Rejects, or returns none, if it has no address. */
export type Resolve = (host: string) => Promise<readonly LookupAddress[]>;

const TIMEOUT = 2_000;
const TRIES = 2;

/**
 * Queries DNS directly. The system's `getaddrinfo` would block one of the process's four threads, so that four silent name
 * servers would stall all deliveries, and password hashing too. Hosts that the operator named are resolved by the system,
 * as its own tables may contain them.
 * @param servers the DNS servers; absent: the machine's
 */
export function createResolver(rules: TargetRules, servers?: readonly string[]): Resolve {
  const resolver = new dns.Resolver({ timeout: TIMEOUT, tries: TRIES });
  if (servers !== undefined) resolver.setServers(servers);
  return async (host) => {
    if (host === "localhost" || isNamed(host, rules)) return await dns.lookup(host, { all: true });
    const [four, six] = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
    return [...found(four, 4), ...found(six, 6)];
  };
}

function found(answer: PromiseSettledResult<string[]>, family: 4 | 6): LookupAddress[] {
  return answer.status === "fulfilled" ? answer.value.map((address) => ({ address, family })) : [];
}
