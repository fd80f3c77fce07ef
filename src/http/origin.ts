import type { FastifyRequest } from "fastify";
import type { Origin } from "../lib/origin.ts";

/** Where a request came from, as audit entries name it. */
export function originOf({ ip, id }: FastifyRequest): Origin & { address: string } {
  return { address: ip, requestId: id };
}
