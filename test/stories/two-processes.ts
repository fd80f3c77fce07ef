import { once } from "node:events";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { cloneDatabase } from "../support/clones.ts";
import { closeAfterFile } from "../support/closing.ts";
import { type ServiceProcess, startProcess } from "../support/process.ts";

/** The real service behind one address, which leads each request to another of its processes than the one before. */
export type Cluster = {
  origin: string;
  /** How many requests each process has been led. */
  led: readonly number[];
};

/** Two processes of the whole program on one database, until the file's tests are over. */
export async function startCluster(env: Record<string, string>): Promise<Cluster> {
  const processes: ServiceProcess[] = [];
  const led = [0, 0];
  let turn = 0;
  const server = createServer((incoming, answer) => {
    turn = (turn + 1) % processes.length;
    led[turn] = (led[turn] ?? 0) + 1;
    const { method, url, headers } = incoming;
    const passedOn = { ...headers, "x-forwarded-for": incoming.socket.remoteAddress };
    const port = processes[turn]?.port;
    const outgoing = request(
      // Not over a connection that was kept: the process may just be closing it.
      { host: "127.0.0.1", port, method, path: url, headers: passedOn, agent: false },
      (response) => {
        answer.writeHead(response.statusCode ?? 502, response.rawHeaders);
        response.pipe(answer);
      },
    );
    outgoing.on("error", () => answer.destroy());
    answer.on("close", () => outgoing.destroy());
    incoming.pipe(outgoing);
  });
  server.keepAliveTimeout = 0;
  server.listen(0, "localhost");
  await once(server, "listening");
  closeAfterFile(() => {
    server.close();
    server.closeAllConnections();
  });
  const origin = `http://localhost:${(server.address() as AddressInfo).port}`;
  const url = await cloneDatabase();
  for (let i = 0; i < led.length; i++)
    processes.push(await startProcess("start", url, { PUBLIC_URL: origin, TRUST_PROXY: "1", ...env }));
  return { origin, led };
}
