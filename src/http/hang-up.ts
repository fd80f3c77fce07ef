import type { FastifyReply } from "fastify";

/** Calls `listener` when the caller hangs up, or at once if that has happened. */
export function onHangUp(reply: FastifyReply, listener: () => void): void {
  if (reply.raw.destroyed) listener();
  else reply.raw.once("close", listener);
}
