import type { LookupAddress } from "node:dns";
import http from "node:http";
import https from "node:https";
import type { LookupFunction } from "node:net";
import type { Resolve } from "./resolver.ts";

export type DeliveryRequest = { url: string; headers: Record<string, string>; body: string };

/** The status of an answer, or why there is none, for people. */
export type Answer = { status: number; error: null } | { status: null; error: string };

export const NOT_PUBLIC = "the host does not lead to a public address";
export const STOPPED = "broken off, as this service was stopping";

const MAX_HEADER_BYTES = 16_384;
/** How much of an answer's body is received and dropped, so that the receiver can finish it. */
const MAX_BODY_BYTES = 16_384;

/** A look-up that returns only the permitted addresses of a host. */
export function guardedLookup(
  resolve: Resolve,
  mayReach: (host: string, address: string) => boolean,
): LookupFunction {
  const find = async (host: string): Promise<readonly LookupAddress[]> => {
    const found = await resolve(host).catch(() => []);
    return found.filter(({ address }) => mayReach(host, address));
  };
  return (host, { all }, callback) => {
    void find(host).then((allowed) => {
      const [first] = allowed;
      // The same answer for an unknown name and a private one, as a difference would map the operator's network.
      if (first === undefined) callback(new UnreachableHost(), []);
      else if (all === true) callback(null, [...allowed]);
      else callback(null, first.address, first.family);
    });
  };
}

/**
 * Sends one POST over a connection of its own, follows no redirect, and drops the body of the answer.
 * @param lookup resolves every host that is not an address
 * @param signal aborts it at any stage; a status received by then still counts
 */
export async function exchange(
  { url, headers, body }: DeliveryRequest,
  lookup: LookupFunction,
  signal: AbortSignal,
): Promise<Answer> {
  const { promise, resolve } = Promise.withResolvers<Answer>();
  let answer: Answer = { status: null, error: "the connection was closed before an answer came" };
  const target = new URL(url);
  const options = {
    method: "POST",
    headers,
    signal,
    lookup,
    // No kept connection, and no proxy from the environment: both would bypass the look-up.
    agent: false,
    maxHeaderSize: MAX_HEADER_BYTES,
    rejectUnauthorized: true,
  } as const;
  const request =
    target.protocol === "https:" ? https.request(target, options) : http.request(target, options);
  request.on("response", (response) => {
    answer = { status: response.statusCode ?? 0, error: null };
    let bytes = 0;
    response.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > MAX_BODY_BYTES) request.destroy();
    });
    // Aborted after the status: `close` handles the rest.
    response.on("error", () => {});
  });
  request.on("error", (error) => {
    if (answer.status === null) answer = { status: null, error: explain(error) };
  });
  request.on("close", () => resolve(answer));
  request.end(body);
  return await promise;
}

class UnreachableHost extends Error {}

const SAID: readonly [RegExp, string][] = [
  [/^ECONNREFUSED$/, "the connection was refused"],
  [/^(ECONNRESET|EPIPE)$/, "the connection was closed before an answer came"],
  [/^(ENETUNREACH|EHOSTUNREACH|ENETDOWN|EADDRNOTAVAIL|ETIMEDOUT)$/, "the host cannot be reached"],
  [/^ABORT_ERR$/, STOPPED],
  [
    /CERT|^UNABLE_TO|^HOSTNAME_MISMATCH$|^INVALID_(CA|PURPOSE)$/,
    "the certificate is not valid for this host",
  ],
  [/^(ERR_SSL|EPROTO)/, "no TLS connection could be agreed on"],
  [/^HPE_HEADER_OVERFLOW$/, "the headers of the answer are too large"],
  [/^HPE_/, "the answer is not HTTP"],
];

/** A network error in words for the receiver's owner, without details of this network. */
function explain(error: Error): string {
  if (error instanceof UnreachableHost) return NOT_PUBLIC;
  const code = "code" in error ? String(error.code) : "";
  return SAID.find(([pattern]) => pattern.test(code))?.[1] ?? "the delivery failed";
}
