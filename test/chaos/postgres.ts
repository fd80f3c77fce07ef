import { rm } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { readPostmaster } from "../../src/database/embedded/leftover.ts";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../src/database/embedded.ts";
import { guard } from "../support/guard.ts";
import { type LostCommit, startCommitLosingProxy } from "../support/lost-commits.ts";
import { copyAsStandby, isStreaming, promote, setSynchronous } from "./standby.ts";

/** Postgres under a fault. It is killed and comes back, or its standby takes over, at one address all the time. */
export type FragilePostgres = {
  url: string;
  /** SIGKILL to its postmaster, by its number; back after `away` milliseconds. */
  kill(away: number): Promise<void>;
  /** Loses the next commit, or gives up after a while. @returns whether one was lost */
  loseCommit(where: LostCommit): Promise<boolean>;
  /**
   * Kills the server and has its standby take over; then there is a new standby. Without synchronous replication the standby
   * hears nothing for the last `behind` milliseconds, so that what was committed then is lost.
   */
  failOver(behind: number): Promise<void>;
  stop(): Promise<void>;
};

export type Replication = "none" | "synchronous" | "asynchronous";

const LOSE_WITHIN = 3_000;
// A process is killed and never the machine: what was written is in the kernel's hands.
const SETTINGS = { fsync: "off", wal_keep_size: "64MB", hot_standby: "on", max_connections: "60" };

type Node = { postgres: EmbeddedPostgres; dataDir: string; pid: number; letGo: () => void };

/** Starts it, and a standby if it has one, each in a folder of its own under `folder`. */
export async function startFragilePostgres(
  folder: string,
  replication: Replication,
): Promise<FragilePostgres> {
  let count = 0;
  let primary = await startNode(`${folder}/data-0`);
  let standby: { node: Node; link: Awaited<ReturnType<typeof startCommitLosingProxy>> } | undefined;
  const proxy = await startCommitLosingProxy(() => primary.postgres.url);

  /** Replication goes by a way of its own, which can be cut. */
  async function addStandby(): Promise<void> {
    count += 1;
    const dataDir = `${folder}/data-${count}`;
    // It comes back at another port.
    const link = await startCommitLosingProxy(() => primary.postgres.url);
    await copyAsStandby(primary.postgres, primary.dataDir, dataDir, link.url);
    standby = { node: await startNode(dataDir), link };
    for (const { url } of [primary.postgres]) while (!(await isStreaming(url))) await delay(100);
    if (replication === "synchronous") await setSynchronous(primary.postgres.url, true);
  }
  if (replication !== "none") await addStandby();

  return {
    url: proxy.url,

    async kill(away) {
      kill(primary);
      await delay(away);
      primary = await restart(primary);
    },

    loseCommit: (where) =>
      Promise.race([proxy.loseNext(where).then(() => true), delay(LOSE_WITHIN, false, { ref: false })]),

    async failOver(behind) {
      if (standby === undefined) throw new TypeError("there is no standby");
      const { node, link } = standby;
      if (replication === "asynchronous") {
        link.hold();
        await delay(behind);
      }
      const { postgres, dataDir } = primary;
      kill(primary);
      proxy.refuse();
      await link.close();
      await postgres.stop();
      await rm(dataDir, { recursive: true, force: true, maxRetries: 10 });
      await promote(node.postgres.url);
      // Settings of its time as a standby: it waits for no other server now.
      await setSynchronous(node.postgres.url, false);
      primary = node;
      proxy.accept();
      await addStandby();
    },

    async stop() {
      await proxy.close();
      await standby?.link.close();
      for (const node of [standby?.node, primary]) {
        await node?.postgres.stop();
        node?.letGo();
      }
    },
  };
}

async function startNode(dataDir: string): Promise<Node> {
  const postgres = await startEmbeddedPostgres({ dataDir, settings: SETTINGS });
  const postmaster = await readPostmaster(postgres.dataFolder);
  if (postmaster === undefined || postmaster.pid === 0)
    throw new Error(`no Postgres runs on ${postgres.dataFolder}`);
  return { postgres, dataDir, pid: postmaster.pid, letGo: guard(postmaster.pid) };
}

function kill({ pid, letGo }: Node): void {
  process.kill(pid, "SIGKILL");
  letGo();
}

async function restart({ postgres, dataDir }: Node): Promise<Node> {
  // Its folder is released; a dead server need not be stopped.
  await postgres.stop();
  return startNode(dataDir);
}
