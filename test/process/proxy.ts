import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/** A way to a server that can be cut, blocked and opened again while others hold connections through it. */
export type Proxy = {
  /** `url` with the proxy's address in the place of its own. */
  url: string;
  /** Breaks every connection and refuses new ones. */
  cut(): Promise<void>;
  /** Lets nothing through any more, in neither direction, and reports nothing: as when a machine has vanished. */
  block(): void;
  /** Opens the way again. What was blocked goes on. */
  restore(): Promise<void>;
};

/** Stands between a service and the Postgres at `url`. */
export async function startProxy(url: string): Promise<Proxy> {
  const target = new URL(url);
  const sockets = new Set<Socket>();
  let blocked = false;
  const server = createServer((socket) => {
    const upstream = connect(Number(target.port || 5432), target.hostname);
    for (const [from, to] of [
      [socket, upstream],
      [upstream, socket],
    ] as const) {
      sockets.add(from);
      from.on("data", (bytes) => to.write(bytes));
      from.on("error", () => {});
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
      if (blocked) from.pause();
    }
  });
  const listen = async (port: number): Promise<void> => {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
  };
  const cut = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, "close");
    server.close();
    for (const socket of sockets) socket.resetAndDestroy();
    await closed;
  };
  await listen(0);
  const address = server.address();
  if (address === null || typeof address === "string") throw new TypeError("a port was asked for");
  const proxied = new URL(url);
  proxied.hostname = "127.0.0.1";
  proxied.port = String(address.port);
  return {
    url: proxied.href,
    cut,
    block() {
      blocked = true;
      for (const socket of sockets) socket.pause();
    },
    async restore() {
      blocked = false;
      for (const socket of sockets) socket.resume();
      if (!server.listening) await listen(address.port);
    },
  };
}
