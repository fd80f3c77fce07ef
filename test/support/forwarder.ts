import { createServer, type IncomingMessage, request } from "node:http";
import type { AddressInfo } from "node:net";
import { closeAfterFile } from "./closing.ts";

/** Where a request goes on to, and what is added to its headers. */
export type Onward = { origin: string; headers?: Record<string, string> };

/**
 * A server that stands between and passes each request on.
 * @param watch sees each answer's head
 * @returns its port
 */
export async function startForwarder(
  onward: (request: IncomingMessage) => Onward,
  watch: (request: IncomingMessage, answer: IncomingMessage) => void = () => {},
): Promise<number> {
  const server = createServer((asked, answer) => {
    const { origin, headers } = onward(asked);
    const passedOn = request(
      `${origin}${asked.url}`,
      { method: asked.method ?? "GET", headers: { ...asked.headers, ...headers } },
      (response) => {
        watch(asked, response);
        answer.writeHead(response.statusCode ?? 500, response.headers);
        response.pipe(answer);
      },
    );
    asked.pipe(passedOn);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closeAfterFile(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(() => resolve(undefined)));
  });
  return (server.address() as AddressInfo).port;
}
