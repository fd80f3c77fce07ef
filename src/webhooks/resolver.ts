import { promises as dns, type LookupAddress } from "node:dns";
import { isNamed, type TargetRules } from "./target.ts";

/** Finds the addresses of a host. Rejects, or finds none, when there are none. */
export type Resolve = (host: string) => Promise<readonly LookupAddress[]>;

const TIMEOUT = 2_000;
const TRIES = 2;

/**
 * Asks DNS itself, and not the system's `getaddrinfo`: that one holds one of the process's four threads until
 * it is answered, so that four names whose servers are silent would stall every other delivery, and passwords too.
 * Hosts that the operator named may stand in the system's own tables; those are asked of the system.
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
