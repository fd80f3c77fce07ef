import { connect } from "node:net";
import type { Answer } from "../support/fixtures.ts";

/**
 * Sends bytes over a socket of its own, and reads until the server closes it. Ask it to, with
 * `Connection: close`, unless it does so by itself.
 * @param options.end whether to close our half once all is sent
 */
export function sendRaw(
  port: number,
  text: string,
  options: { end?: boolean } = {},
): Promise<{ raw: string; answers: Answer[] }> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    socket.setTimeout(10_000, () =>
      socket.destroy(new Error("the server neither answered nor closed the socket")),
    );
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("end", () => socket.end());
    socket.on("error", (error: Error & { code?: string }) => {
      if (error.code !== "ECONNRESET" && error.code !== "EPIPE") reject(error);
    });
    socket.on("close", () => {
      const raw = Buffer.concat(chunks).toString("utf8");
      resolve({ raw, answers: parse(raw) });
    });
    socket.write(Buffer.from(text, "latin1"));
    if (options.end) socket.end();
  });
}

/** Takes what came over the wire apart. Interim answers (100) are left out. */
function parse(raw: string): Answer[] {
  const answers: Answer[] = [];
  for (let rest = raw; rest !== ""; ) {
    const cut = rest.indexOf("\r\n\r\n");
    const [line = "", ...fields] = rest.slice(0, cut).split("\r\n");
    const headers: Record<string, string> = {};
    for (const field of fields) {
      const colon = field.indexOf(":");
      headers[field.slice(0, colon).toLowerCase()] = field.slice(colon + 1).trim();
    }
    const bytes = Buffer.from(rest.slice(cut + 4));
    const length = Number(headers["content-length"] ?? 0);
    const text = bytes.subarray(0, length).toString();
    rest = bytes.subarray(length).toString();
    const status = Number(line.split(" ")[1]);
    if (status >= 200)
      answers.push({ status, headers, text, body: text === "" ? undefined : JSON.parse(text) });
  }
  return answers;
}
