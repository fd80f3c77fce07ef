import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** Where a commit is lost: before Postgres sees it, or after it has committed, with its answer. */
export type LostCommit = "before" | "after";

/** A way to a Postgres on which commits can be lost. */
export type CommitLosingProxy = {
  url: string;
  /** Loses the next commit of any connection. @returns when it has been lost */
  loseNext(where: LostCommit): Promise<void>;
  /** Breaks every connection, and takes no new one until `accept` is called. */
  refuse(): void;
  accept(): void;
  /** Lets nothing through any more, in neither direction, and reports nothing. */
  hold(): void;
  close(): Promise<void>;
};

/** A simple query, as Postgres's protocol has it: `Q`, its length, its text, a zero. */
const COMMIT = "Q\0\0\0\x0bcommit\0";
/** The answer to it. */
const COMMITTED = "C\0\0\0\x0bCOMMIT\0";

/**
 * Stands between a service and the Postgres at `url`. A COMMIT may come in one chunk with statements before it, and be sent before
 * they are answered.
 */
export async function startCommitLosingProxy(url: string | (() => string)): Promise<CommitLosingProxy> {
  const addressNow = () => new URL(typeof url === "string" ? url : url());
  let next: { where: LostCommit; lost: () => void } | undefined;
  const sockets = new Set<Socket>();
  let refusing = false;
  const server = createServer((near) => {
    if (refusing) return void near.resetAndDestroy();
    const { port, hostname } = addressNow();
    const far = connect(Number(port || 5432), hostname);
    let losing: (() => void) | undefined;
    const end = () => {
      near.resetAndDestroy();
      far.destroy();
    };
    near.on("data", (bytes) => {
      if (next !== undefined && bytes.toString("latin1").includes(COMMIT)) {
        const { where, lost } = next;
        next = undefined;
        if (where === "before") {
          end();
          return lost();
        }
        losing = lost;
      }
      far.write(bytes);
    });
    far.on("data", (bytes) => {
      if (losing === undefined || !bytes.toString("latin1").includes(COMMITTED))
        return void near.write(bytes);
      end();
      losing();
    });
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        sockets.delete(one);
        other.destroy();
      });
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const proxied = addressNow();
  proxied.hostname = "127.0.0.1";
  proxied.port = String((server.address() as AddressInfo).port);
  return {
    url: proxied.href,
    loseNext: (where) => new Promise((lost) => (next = { where, lost })),
    refuse() {
      refusing = true;
      for (const socket of sockets) socket.resetAndDestroy();
    },
    hold() {
      for (const socket of sockets) socket.pause();
    },
    accept() {
      refusing = false;
    },
    async close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
