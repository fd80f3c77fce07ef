import type { Server } from "node:http";
import type { Socket } from "node:net";
import { addressBucket } from "../lib/addresses.ts";

/** Descriptors reserved for the database, files, webhooks, mail and the processor. */
const RESERVED = 96;
/** So many of those may be taken for a moment: a connection that was closed keeps its descriptor until the next turn. */
const CLOSING = 32;
const AT_MOST = 65_536;
const AT_LEAST = 16;
/** The share of all connections that one address may have. */
const SHARE_OF_ADDRESS = 1 / 4;

export type ConnectionLimits = {
  /** Connections at once, in all. */
  total: number;
  /** Connections at once from one address; absent behind a proxy, whose address all callers share. */
  perAddress?: number | undefined;
};

/** The limits that this process's number of file descriptors allows. */
export function connectionLimits({ behindProxy }: { behindProxy: boolean }): ConnectionLimits {
  const total = Math.max(AT_LEAST, Math.min(AT_MOST, openFilesLimit() - RESERVED));
  return { total, perAddress: behindProxy ? undefined : Math.ceil(total * SHARE_OF_ADDRESS) };
}

type Connection = { socket: Socket; peer: Peer; requests: number };
/** One address: the number of its connections, and those without a request under way, longest idle first. */
type Peer = { bucket: string; count: number; quiet: Set<Connection> };

/**
 * Limits the connections of a server. A new connection beyond a limit replaces the one that has been idle for the longest
 * (of its address, or of all), so that idle sockets never keep out callers. If none is idle, the new one is closed.
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

/** The limit of file descriptors: at its start Node raises the soft limit to the hard one. */
function openFilesLimit(): number {
  Object.assign(process.report, { excludeNetwork: true });
  const { userLimits } = process.report.getReport() as {
    userLimits?: { open_files?: { soft: number | string } };
  };
  const soft = Number(userLimits?.open_files?.soft);
  return Number.isFinite(soft) ? soft : AT_MOST;
}
