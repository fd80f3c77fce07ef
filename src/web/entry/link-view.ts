import { hash } from "node:crypto";
import type { FastifyRequest } from "fastify";
import type { openLookups } from "../../http/lookups.ts";

/** The look-ups of the pages that a mailed or copied link opens. */
export type LinkDeps = { links: ReturnType<typeof openLookups> };

/**
 * Looks up what a link leads to. A malformed link costs no look-up; one that leads nowhere counts against its address
 * (docs/contract.md §0).
 * @param isSecret whether a value has the form of such a link's secret
 * @throws Problem rate_limited {retryAfterSeconds} after 120 links in a minute that led nowhere
 */
export async function followLink<T>(
  { links }: LinkDeps,
  { ip }: Pick<FastifyRequest, "ip">,
  secret: string,
  isSecret: (value: string) => boolean,
  read: () => Promise<T | undefined>,
): Promise<T | undefined> {
  if (!isSecret(secret)) return undefined;
  return links.find({ digest: hash("sha256", secret, "buffer") }, ip, read);
}
