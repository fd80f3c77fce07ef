import { connect } from "node:net";
import type { App } from "../../src/http/app.ts";

/**
 * `setsCookie`: a session's. That of a device opens nothing, and goes out with each page. `leadsTo`: of a redirect, the path;
 * `said`: the cookie by which the page there says what the form came to.
 */
export type RawAnswer = {
  status: number;
  setsCookie: boolean;
  leadsTo: string | undefined;
  said: string | undefined;
  text: string;
};

/**
 * Sends a form over a socket of its own, its headers and half of its body first. Once the server has looked at the
 * headers and begins to read the body, `meanwhile` runs; then the rest is sent.
 */
export function sendHeld(
  app: App,
  { path, cookie, fields }: { path: string; cookie: string; fields: Record<string, string> },
  meanwhile: () => Promise<void>,
): Promise<RawAnswer> {
  const body = new URLSearchParams(fields).toString();
  const address = app.server.address();
  if (address === null || typeof address === "string") throw new TypeError("the service does not listen");
  const head = [
    `POST ${path} HTTP/1.1`,
    "host: localhost",
    "accept: text/html",
    "sec-fetch-site: same-origin",
    "content-type: application/x-www-form-urlencoded",
    `cookie: ${cookie}`,
    `content-length: ${body.length}`,
    "connection: close",
  ].join("\r\n");
  return new Promise((resolve, reject) => {
    const socket = connect(address.port, "127.0.0.1");
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("error", reject);
    socket.on("close", () => resolve(parse(Buffer.concat(chunks).toString())));
    // Fastify listens for a body once the hooks that look at the headers have run.
    app.server.prependOnceListener("request", (request) => {
      let begun = false;
      request.on("newListener", (event) => {
        if (event !== "data" || begun) return;
        begun = true;
        meanwhile().then(() => socket.write(body.slice(body.length >> 1)), reject);
      });
    });
    socket.write(`${head}\r\n\r\n${body.slice(0, body.length >> 1)}`);
  });
}

function parse(raw: string): RawAnswer {
  const [head = "", ...rest] = raw.split("\r\n\r\n");
  const setsCookie = /^set-cookie: (__Host-)?countersign=/im.test(head);
  const leadsTo = /^location: (.*)$/im.exec(head)?.[1];
  const said = /^set-cookie: (countersign-said=[^;]+)/im.exec(head)?.[1];
  return { status: Number(head.split(" ")[1]), setsCookie, leadsTo, said, text: rest.join("\r\n\r\n") };
}
