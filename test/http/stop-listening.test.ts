import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { stopListening } from "../../src/http/stop-listening.ts";

const CALLERS = 20;

/** Connects while the server's thread is held up, so that the kernel alone has accepted; says so, and counts the answers. */
const CALLER = `
const { connect } = require("node:net");
const { parentPort, workerData: { port, callers, flag } } = require("node:worker_threads");
let connected = 0, ended = 0, answered = 0;
for (let i = 0; i < callers; i++) {
  const socket = connect(port, "127.0.0.1", () => {
    socket.write("GET / HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n");
    connected += 1;
    if (connected === callers) { Atomics.store(flag, 0, 1); Atomics.notify(flag, 0); }
  });
  let text = "";
  socket.on("data", (bytes) => { text += bytes; }).on("error", () => {}).on("close", () => {
    if (text.startsWith("HTTP/1.1 200")) answered += 1;
    ended += 1;
    if (ended === callers) parentPort.postMessage(answered);
  });
}`;

test("connections that the kernel has accepted are answered before a server that stops resets any", async () => {
  const server = createServer((_request, response) => void response.end("ok")).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const flag = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(CALLER, { eval: true, workerData: { port, callers: CALLERS, flag } });
  await once(worker, "online");
  const answered = once(worker, "message");
  Atomics.wait(flag, 0, 0);
  await stopListening(server);
  expect(await answered).toEqual([CALLERS]);
  expect(server.listening).toBe(false);
  await worker.terminate();
});
