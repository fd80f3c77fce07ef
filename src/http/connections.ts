import type { Server } from "node:http";
import type { Socket } from "node:net";
import { addressBucket } from "../lib/addresses.ts";

/** Descriptors that are not for callers: the database, files, webhooks, mail, the processor. */
const RESERVED = 96;
/** So many of those may be taken for a moment: a connection that was closed keeps its descriptor until the next turn. */
const CLOSING = 32;
const AT_MOST = 65_536;
const AT_LEAST = 16;
/** How much of all connections one address may have. */
const SHARE_OF_ADDRESS = 1 / 4;

export type ConnectionLimits = {
  /** Connections at once, in all. */
  total: number;
  /** Connections at once from one address; absent behind a proxy, whose address all callers share. */
  perAddress?: number | undefined;
};

/** What this process can hold open, by the number of descriptors that the system gives it. */
export function connectionLimits({ behindProxy }: { behindProxy: boolean }): ConnectionLimits {
  const total = Math.max(AT_LEAST, Math.min(AT_MOST, openFilesLimit() - RESERVED));
  return { total, perAddress: behindProxy ? undefined : Math.ceil(total * SHARE_OF_ADDRESS) };
}

type Connection = { socket: Socket; peer: Peer; requests: number };
/** One address: how many connections it has, and which of them have no request under way, the quietest first. */
type Peer = { bucket: string; count: number; quiet: Set<Connection> };

/**
 * Bounds the connections of a server. A new connection beyond a bound takes the place of the one that has been without
 * a request for the longest (of its address, or of all): so sockets that send nothing never keep out a caller who asks.
 * If all of them have a request under way, the new one is closed.
 */
export function boundConnections(server: Server, { total, perAddress = total }: ConnectionLimits): void {
  const open = new WeakMap<Socket, Connection>();
  const peers = new Map<string, Peer>();
  const quiet = new Set<Connection>();
  let count = 0;
  server.maxConnections = total + CLOSING;

  function join(socket: Socket): Connection {
    const bucket = addressBucket(socket.remoteAddress ?? "");
    const peer = peers.get(bucket) ?? { bucket, count: 0, quiet: new Set() };
    peers.set(bucket, peer);
    const connection = { socket, peer, requests: 0 };
    open.set(socket, connection);
    peer.count += 1;
    count += 1;
    return connection;
  }

  function leave(connection: Connection): void {
    const { socket, peer } = connection;
    if (!open.delete(socket)) return;
    rouse(connection);
    peer.count -= 1;
    count -= 1;
    if (peer.count === 0) peers.delete(peer.bucket);
  }

  function settle(connection: Connection): void {
    quiet.add(connection);
    connection.peer.quiet.add(connection);
  }

  function rouse(connection: Connection): void {
    quiet.delete(connection);
    connection.peer.quiet.delete(connection);
  }

  function close(connection: Connection): void {
    leave(connection);
    connection.socket.destroy();
  }

  server.on("connection", (socket: Socket) => {
    const connection = join(socket);
    socket.once("close", () => leave(connection));
    if (connection.peer.count > perAddress) close(first(connection.peer.quiet) ?? connection);
    else if (count > total) close(first(quiet) ?? connection);
    if (open.has(socket)) settle(connection);
  });

  server.on("request", ({ socket }, response) => {
    const connection = open.get(socket);
    if (connection === undefined) return;
    rouse(connection);
    connection.requests += 1;
    response.once("close", () => {
      connection.requests -= 1;
      if (connection.requests === 0 && open.has(socket)) settle(connection);
    });
  });
}

function first<T>(set: ReadonlySet<T>): T | undefined {
  return set.values().next().value;
}

/** How many descriptors this process may have: Node has raised the soft limit to the hard one at its start. */
function openFilesLimit(): number {
  Object.assign(process.report, { excludeNetwork: true });
  const { userLimits } = process.report.getReport() as {
    userLimits?: { open_files?: { soft: number | string } };
  };
  const soft = Number(userLimits?.open_files?.soft);
  return Number.isFinite(soft) ? soft : AT_MOST;
}
