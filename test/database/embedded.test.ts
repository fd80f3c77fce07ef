import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chmod, chown, mkdir, mkdtemp, readFile, rm, rmdir, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { startEmbeddedPostgres } from "../../src/database/embedded.ts";
import { roomiestFolder } from "../support/database.ts";
import {
  type App,
  type AppOptions,
  ask,
  copyApp,
  gone,
  launch,
  ordinaryUser,
  postmasterOf,
  refusal,
  startedBy,
  sweep,
} from "../support/embedded-app.ts";
import { longTest } from "../support/long.ts";

const isRoot = process.getuid?.() === 0;

const folders: string[] = [];
const apps: App[] = [];

afterEach(async () => {
  for (const { process: child } of apps.splice(0)) child.kill("SIGKILL");
  for (const folder of folders.splice(0)) await sweep(join(folder, "postgres"));
  if (isRoot) await rmdir("/var/lib/countersign").catch(() => {});
});

/** A new folder that anyone can enter, where databases are made fastest, or `where` programs can be run. */
async function newFolder(where?: string): Promise<string> {
  const folder = await mkdtemp(join(where ?? (await roomiestFolder()), "countersign-embedded-"));
  folders.push(folder);
  await chmod(folder, 0o755);
  return folder;
}

let used: Promise<string> | undefined;

/** A new folder with a database in it, copied from one that a first start has made. */
async function usedFolder(): Promise<string> {
  used ??= newFolder().then(async (folder) => {
    folders.splice(folders.indexOf(folder), 1);
    await (await start(folder)).stop();
    return folder;
  });
  const folder = await newFolder();
  execFileSync("cp", ["-a", `${await used}/.`, folder]);
  return folder;
}

afterAll(async () => {
  if (used !== undefined) await sweep(join(await used, "postgres"));
});

const start = (dataDir: string, settings = {}) =>
  startEmbeddedPostgres({ dataDir, settings: { fsync: "off", ...settings } });

function launched(dataDir: string, options?: AppOptions): App {
  const app = launch(dataDir, options);
  apps.push(app);
  return app;
}

describe("a start", () => {
  it("makes a database, and the next one finds what was written there", async () => {
    const dataDir = await newFolder();
    const first = await start(dataDir);
    expect(first).toMatchObject({ adopted: false, dataFolder: join(dataDir, "postgres") });
    await ask(first, "create table kept as select 'as it was' as word");
    await first.stop();
    await first.stop();

    const second = await start(dataDir);
    expect(second.adopted).toBe(false);
    expect(await ask(second, "select word from kept")).toEqual([{ word: "as it was" }]);
    await second.stop();
  });

  it("opens Postgres to this machine alone, and only with the password", async () => {
    const dataDir = await usedFolder();
    const postgres = await start(dataDir, { max_connections: "17", application_name: `it's "$HOME"` });
    const settings = await ask(
      postgres,
      `select name, setting from pg_settings order by name = any(array['listen_addresses',
        'unix_socket_directories', 'max_connections', 'application_name']) desc, name limit 4`,
    );
    expect(settings).toEqual([
      { name: "application_name", setting: `it's "$HOME"` },
      { name: "listen_addresses", setting: "127.0.0.1" },
      { name: "max_connections", setting: "17" },
      { name: "unix_socket_directories", setting: "" },
    ]);
    const guessed = new URL(postgres.url);
    guessed.password = "guessed";
    await expect(ask({ url: guessed.href }, "select 1")).rejects.toMatchObject({ code: "28P01" });
    expect((await stat(join(dataDir, "postgres-password"))).mode & 0o777).toBe(0o600);
    await postgres.stop();
  });

  longTest("survives the Ctrl-C of the app's terminal until the app has finished with it", async () => {
    const app = launched(await usedFolder());
    const { dataFolder } = await startedBy(app);
    const postmaster = await postmasterOf(dataFolder);
    process.kill(-(app.process.pid as number), "SIGINT");
    expect(await app.ended).toEqual({ code: 0, said: "" });
    await gone(postmaster, dataFolder);
  });
});

describe("two starts on one folder", () => {
  it("at once: one runs, the other says so in one line", async () => {
    const dataDir = await newFolder();
    const both = [launched(dataDir), launched(dataDir)];
    const started = await Promise.all(both.map((app) => app.started));
    const loser = started.indexOf(undefined);
    expect(started.filter((one) => one === undefined)).toHaveLength(1);
    expect(await both[loser]?.ended).toEqual(
      refusal(/Another Countersign is already running on .* set DATA_DIR/),
    );
    expect(await ask(started[1 - loser] as { url: string }, "select 1 as one")).toEqual([{ one: 1 }]);
  });

  longTest("one while the other stops: it waits its turn", async () => {
    const dataDir = await usedFolder();
    const first = await start(dataDir);
    const stopped = first.stop();
    const second = await start(dataDir);
    await stopped;
    expect(await ask(second, "select 1 as one")).toEqual([{ one: 1 }]);
    await second.stop();
  });
});

describe("what was left behind", () => {
  it("by a kill -9 of the app, a live Postgres, is taken over", async () => {
    const dataDir = await usedFolder();
    const app = launched(dataDir);
    const left = await startedBy(app);
    await ask(left, "create table kept as select 1 as one");
    const postmaster = await postmasterOf(left.dataFolder);
    app.process.kill("SIGKILL");
    await app.ended;

    const next = await start(dataDir);
    expect(next).toMatchObject({ adopted: true, url: left.url });
    expect(await ask(next, "select one from kept")).toEqual([{ one: 1 }]);
    expect(await postmasterOf(next.dataFolder)).toBe(postmaster);
    await next.stop();
    await gone(postmaster, next.dataFolder);
  });

  longTest("by a kill -9 of Postgres, committed rows, is found again", async () => {
    const dataDir = await usedFolder();
    const first = await start(dataDir);
    await ask(first, "create table kept as select 1 as one");
    const postmaster = await postmasterOf(first.dataFolder);
    process.kill(postmaster, "SIGKILL");
    await gone(postmaster, first.dataFolder);
    await first.stop();

    const next = await start(dataDir);
    expect(await ask(next, "select one from kept")).toEqual([{ one: 1 }]);
    await next.stop();
  });

  longTest("by a kill in the middle of initdb, half a database, is cleared away", async () => {
    const dataDir = await newFolder();
    const draft = join(dataDir, "postgres-new-killed");
    await mkdir(join(draft, "data", "base"), { recursive: true });
    await (await start(dataDir)).stop();
    await expect(stat(draft)).rejects.toMatchObject({ code: "ENOENT" });
  });

  longTest("the number of a Postgres that is gone, is no obstacle when a stranger bears it now", async () => {
    const dataDir = await usedFolder();
    const stranger = await leaveStranger(dataDir);

    const next = await start(dataDir);
    expect(next.adopted).toBe(false);
    await next.stop();
    expect(stranger.signalCode).toBe(null);
    stranger.kill();
  });

  longTest(
    "the number of a Postgres that died under the app, is not what its stop ends, once a stranger bears it",
    async () => {
      const dataDir = await usedFolder();
      const first = await start(dataDir);
      const postmaster = await postmasterOf(first.dataFolder);
      process.kill(postmaster, "SIGKILL");
      await gone(postmaster, first.dataFolder);
      const stranger = await leaveStranger(dataDir);

      await first.stop();
      expect(stranger.signalCode).toBe(null);
      stranger.kill();
      // Frees the shared memory of the one that died.
      await (await start(dataDir)).stop();
    },
  );

  longTest("the number and port of what is now another folder's Postgres, touches neither", async () => {
    const other = await start(await usedFolder());
    const dataDir = await usedFolder();
    await leaveLockFile(dataDir, await readFile(join(other.dataFolder, "postmaster.pid"), "utf8"));

    const next = await start(dataDir);
    expect(next.adopted).toBe(false);
    await next.stop();
    expect(await ask(other, "select 1 as one")).toEqual([{ one: 1 }]);
    await other.stop();
  });

  longTest("an empty lock file, as a power cut leaves it, is no obstacle", async () => {
    const dataDir = await usedFolder();
    await leaveLockFile(dataDir, "");
    await (await start(dataDir)).stop();
  });

  /** Leaves a lock file with the number of a live process of the user that Postgres runs as. */
  async function leaveStranger(dataDir: string): Promise<ChildProcess> {
    const { uid, gid } = await stat(join(dataDir, "postgres"));
    const stranger = spawn("sleep", ["60"], isRoot ? { uid, gid } : {});
    await leaveLockFile(dataDir, `${stranger.pid}\n${dataDir}/postgres\n1700000000\n1\n`);
    return stranger;
  }

  async function leaveLockFile(dataDir: string, text: string): Promise<void> {
    const lockFile = join(dataDir, "postgres", "postmaster.pid");
    await writeFile(lockFile, text);
    const { uid, gid } = await stat(dirname(lockFile));
    if (isRoot) await chown(lockFile, uid, gid);
  }
});

describe("in one line it says", () => {
  it("that DATA_DIR is a file", async () => {
    const file = join(await newFolder(), "file");
    await writeFile(file, "");
    expect(await launched(file).ended).toEqual(refusal(/DATA_DIR .*file cannot be used: .*exists/));
  });

  it("that DATA_DIR cannot be written to", async () => {
    const dataDir = await newFolder();
    await chmod(dataDir, 0o555);
    const app = launched(dataDir, await ordinaryUser(() => newFolder(tmpdir())));
    expect(await app.ended).toEqual(refusal(/DATA_DIR .* cannot be used: permission denied/));
  });

  longTest("that the data is of another major version", async () => {
    const dataDir = await usedFolder();
    await writeFile(join(dataDir, "postgres", "PG_VERSION"), "17\n");
    expect(await launched(dataDir).ended).toEqual(refusal(/made by Postgres 17, and this version brings 18/));
  });

  longTest("that the password is gone", async () => {
    const dataDir = await usedFolder();
    await rm(join(dataDir, "postgres-password"));
    expect(await launched(dataDir).ended).toEqual(refusal(/postgres-password is missing/));
  });

  longTest("why Postgres does not start", async () => {
    const started = start(await usedFolder(), { shared_buffers: "much" });
    await expect(started).rejects.toMatchObject({
      name: "StartError",
      message: expect.stringMatching(
        /did not start on .*: invalid value for parameter "shared_buffers": "much"/,
      ),
    });
  });
});

describe("who Postgres runs as", () => {
  longTest("is the ordinary user who starts the app, and all is in DATA_DIR", async () => {
    const user = await ordinaryUser(() => newFolder(tmpdir()));
    const dataDir = await newFolder();
    if (user.uid !== undefined && user.gid !== undefined) await chown(dataDir, user.uid, user.gid);
    await chmod(dataDir, 0o700);
    const app = launched(dataDir, user);
    const { dataFolder } = await startedBy(app);
    expect(dataFolder).toBe(join(dataDir, "postgres"));
    expect((await stat(dataFolder)).uid).toBe((await stat(dataDir)).uid);
    process.kill(app.process.pid as number, "SIGINT");
    expect(await app.ended).toEqual({ code: 0, said: "" });
  });

  it("is a system user when root starts the app, from a copy elsewhere if it cannot enter root's folder", async (test) => {
    test.skip(!isRoot, "only root meets a folder that Postgres's user cannot enter");
    const hidden = await newFolder(tmpdir());
    await chmod(hidden, 0o700);
    const options = await copyApp(join(hidden, "app"));
    const dataDir = join(hidden, "data");
    const first = launched(dataDir, options);
    const { url, dataFolder } = await startedBy(first);
    folders.push(dirname(dataFolder));
    expect(dataFolder).toMatch(/^\/var\/lib\/countersign\/[\w-]+\/postgres$/);
    expect((await stat(dataFolder)).uid).not.toBe(0);
    expect(await readFile(join(dataDir, "postgres-is-elsewhere.txt"), "utf8")).toContain(dirname(dataFolder));
    await ask({ url }, "create table kept as select 1 as one");
    process.kill(first.process.pid as number, "SIGINT");
    expect(await first.ended).toEqual({ code: 0, said: "" });

    const second = await startedBy(launched(dataDir, options));
    expect(second).toMatchObject({ dataFolder, adopted: false });
    expect(await ask(second, "select one from kept")).toEqual([{ one: 1 }]);
  });
});
