import { constants } from "node:fs";
import { access, chmod, mkdtemp, readdir, rm, stat, statfs } from "node:fs/promises";
import { request } from "node:http";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { knownHome } from "../../src/database/embedded/files.ts";
import { isPostmaster, readPostmaster } from "../../src/database/embedded/leftover.ts";
import { lockFolder } from "../../src/database/embedded/lock.ts";
import { startEmbeddedPostgres } from "../../src/database/embedded.ts";

export type TestPostgres = {
  /** Address of a superuser's database, from which others can be made. */
  adminUrl: string;
  kind: "given" | "container" | "embedded";
  stop(): Promise<void>;
};

const IMAGE = "postgres:18-alpine";
const PING_TIMEOUT = 150;
const MEMORY = "/dev/shm";
const MEMORY_NEEDED = 1024 ** 3;
const PREFIX = "countersign-test-";
const YOUNG = 60_000;

/** Nothing here outlives a run, so nothing waits for a disk. */
const SETTINGS = { fsync: "off", synchronous_commit: "off", full_page_writes: "off", max_connections: "300" };

/**
 * The one Postgres of a test run: the given one, else a container if an engine answers, else the embedded one.
 */
export async function startTestPostgres(): Promise<TestPostgres> {
  const given = process.env.TEST_DATABASE_URL;
  if (given) return { adminUrl: given, kind: "given", stop: async () => {} };
  const engine = await findEngine();
  if (engine === undefined) return await startEmbedded();
  return await startContainer(engine).catch(async (error: unknown) => {
    console.warn(
      `${engine.address} answers, but runs no ${IMAGE} (${String(error)}): the embedded Postgres it is`,
    );
    return await startEmbedded();
  });
}

type Engine = { address: string; podman: boolean };

/** The first container engine that answers a ping within 150 ms; they are all asked at once. */
async function findEngine(): Promise<Engine | undefined> {
  const { DOCKER_HOST, XDG_RUNTIME_DIR } = process.env;
  const sockets = ["/var/run/docker.sock", join(homedir(), ".docker/run/docker.sock")];
  if (XDG_RUNTIME_DIR) sockets.push(join(XDG_RUNTIME_DIR, "podman/podman.sock"));
  const addresses = DOCKER_HOST ? [DOCKER_HOST] : sockets.map((path) => `unix://${path}`);
  return (await Promise.all(addresses.map(ping))).find((engine) => engine !== undefined);
}

function ping(address: string): Promise<Engine | undefined> {
  return new Promise((resolve) => {
    const url = URL.parse(address);
    if (url === null) return resolve(undefined);
    const target =
      url.protocol === "unix:" ? { socketPath: url.pathname } : { host: url.hostname, port: url.port };
    const signal = AbortSignal.timeout(PING_TIMEOUT);
    const asked = request({ ...target, path: "/_ping", signal }, (response) => {
      response.resume();
      const podman = String(response.headers.server).includes("Libpod");
      resolve(response.statusCode === 200 ? { address, podman } : undefined);
    });
    asked.on("error", () => resolve(undefined)).end();
  });
}

async function startContainer(engine: Engine): Promise<TestPostgres> {
  process.env.DOCKER_HOST ??= engine.address;
  // The reaper wants the engine's own socket inside a container, which rootless podman does not give.
  if (engine.podman) process.env.TESTCONTAINERS_RYUK_DISABLED ??= "true";
  const { GenericContainer, Wait } = await import("testcontainers");
  const settings = Object.entries(SETTINGS).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const container = await new GenericContainer(IMAGE)
    .withEnvironment({
      POSTGRES_PASSWORD: "test",
      POSTGRES_INITDB_ARGS: "--locale=C --encoding=UTF8 --no-sync",
    })
    .withCommand(["postgres", ...settings])
    .withTmpFs({ "/var/lib/postgresql": "rw" })
    .withExposedPorts(5432)
    // Once by the server that the image initialises with, once by the real one.
    .withWaitStrategy(Wait.forLogMessage(/database system is ready to accept connections/, 2))
    .start();
  const adminUrl = `postgres://postgres:test@${container.getHost()}:${container.getMappedPort(5432)}/postgres`;
  return { adminUrl, kind: "container", stop: async () => void (await container.stop()) };
}

async function startEmbedded(): Promise<TestPostgres> {
  const parent = await roomiestFolder();
  await removeAbandoned(parent);
  const dataDir = await mkdtemp(join(parent, PREFIX));
  // As root it is another user's Postgres that has to enter.
  if (process.getuid?.() === 0) await chmod(dataDir, 0o711);
  const postgres = await startEmbeddedPostgres({ dataDir, settings: SETTINGS });
  const adminUrl = new URL(postgres.url);
  adminUrl.pathname = "/postgres";
  const stop = async () => {
    await postgres.stop();
    await removeFolders(dataDir, dirname(postgres.dataFolder));
  };
  return { adminUrl: adminUrl.href, kind: "embedded", stop };
}

/** Shared memory where there is enough of it (a container has 64 MB by default), else the disk. */
export async function roomiestFolder(): Promise<string> {
  try {
    await access(MEMORY, constants.W_OK);
    const { bavail, bsize } = await statfs(MEMORY);
    return bavail * bsize >= MEMORY_NEEDED ? MEMORY : tmpdir();
  } catch {
    return tmpdir();
  }
}

/** Ends and removes what killed runs have left, told by its lock, which no process holds. */
async function removeAbandoned(parent: string): Promise<void> {
  const names = (await readdir(parent)).filter((name) => name.startsWith(PREFIX));
  await Promise.all(
    names.map(async (name) => {
      const dataDir = join(parent, name);
      try {
        // A young one may be about to be locked.
        if (Date.now() - (await stat(dataDir)).mtimeMs < YOUNG) return;
        const unlock = await lockFolder(dataDir, 0);
        const home = (await knownHome(dataDir)) ?? dataDir;
        await killPostmaster(join(home, "postgres"));
        await removeFolders(dataDir, home);
        unlock();
      } catch {
        // Another run's, which is alive, or another user's: not ours to remove.
      }
    }),
  );
}

async function killPostmaster(dataFolder: string): Promise<void> {
  const left = await readPostmaster(dataFolder);
  if (left !== undefined && (await isPostmaster(left.pid, dataFolder)) === true)
    process.kill(left.pid, "SIGQUIT");
}

async function removeFolders(...folders: string[]): Promise<void> {
  for (const folder of new Set(folders)) await rm(folder, { recursive: true, force: true, maxRetries: 10 });
}
