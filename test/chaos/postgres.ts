import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { readPostmaster } from "../../src/database/embedded/leftover.ts";
import { startEmbeddedPostgres } from "../../src/database/embedded.ts";
import { guard } from "../support/guard.ts";

/** A durable Postgres that is killed and comes back, at one address all the time. */
export type FragilePostgres = {
  url: string;
  /** SIGKILL to its postmaster, by its number; back after `away` milliseconds. */
  kill(away: number): Promise<void>;
  stop(): Promise<void>;
};

/**
 * Starts it in a folder of its own. Each start takes another port: a relay in between keeps the address, and
 * breaks its connections when Postgres dies, as a network would.
 */
export async function startFragilePostgres(dataDir: string): Promise<FragilePostgres> {
  let postgres = await startEmbeddedPostgres({ dataDir });
  let pid = await postmasterOf(postgres.dataFolder);
  let letGo = guard(pid);
  const portNow = () => Number(new URL(postgres.url).port);
  const relay = createServer((near) => join(near, connect(portNow(), "127.0.0.1")));
  relay.listen(0, "127.0.0.1");
  await once(relay, "listening");
  const url = new URL(postgres.url);
  url.port = String((relay.address() as AddressInfo).port);

  return {
    url: url.href,
    async kill(away) {
      process.kill(pid, "SIGKILL");
      letGo();
      await new Promise((resolve) => setTimeout(resolve, away));
      // Its folder is let go of; what is dead need not be stopped.
      await postgres.stop();
      postgres = await startEmbeddedPostgres({ dataDir });
      pid = await postmasterOf(postgres.dataFolder);
      letGo = guard(pid);
    },
    async stop() {
      relay.close();
      await postgres.stop();
      letGo();
    },
  };
}

function join(near: Socket, far: Socket): void {
  near.pipe(far).pipe(near);
  for (const [one, other] of [
    [near, far],
    [far, near],
  ] as const) {
    one.on("error", () => other.destroy());
    one.on("close", () => other.destroy());
  }
}

async function postmasterOf(dataFolder: string): Promise<number> {
  const postmaster = await readPostmaster(dataFolder);
  if (postmaster === undefined || postmaster.pid === 0) throw new Error(`no Postgres runs on ${dataFolder}`);
  return postmaster.pid;
}
