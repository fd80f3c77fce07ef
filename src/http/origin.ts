import type { FastifyRequest } from "fastify";
import type { RequestOrigin } from "../lib/origin.ts";

/** Where a request came from, as audit entries name it. */
export function originOf({ ip, id }: Pick<FastifyRequest, "ip" | "id">): RequestOrigin {
  return { address: ip, requestId: id };
}
