import type { FastifyReply } from "fastify";

/** Has `listener` called when the caller hangs up, or at once when they have already. */
export function onHangUp(reply: FastifyReply, listener: () => void): void {
  if (reply.raw.destroyed) listener();
  else reply.raw.once("close", listener);
}
