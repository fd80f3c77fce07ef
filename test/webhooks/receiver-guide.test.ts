import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingHttpHeaders } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDeliveryClient } from "../../src/webhooks/delivery-client.ts";
import { newWebhookSecret, signatureHeaders } from "../../src/webhooks/signature.ts";
import { guard } from "../support/guard.ts";

const GUIDE = readFileSync(join(import.meta.dirname, "../../docs/webhooks.md"), "utf8");
const PYTHON = spawnSync("python3", ["--version"]).status === 0;
if (!PYTHON) console.warn("No python3 here: the guide's Python is NOT checked, and its tests are skipped.");
const SECRET = newWebhookSecret();
const TOKEN = "ot_pat_of_the_test";

/** The block of code that stands under the line that names its file. */
function snippet(file: string): string {
  const code = new RegExp(`\`${file}\`:\n\n\`\`\`\\w+\n([\\s\\S]*?)\n\`\`\`\n`).exec(GUIDE)?.[1];
  if (code === undefined) throw new Error(`the guide has no ${file}`);
  return `${code}\n`;
}

let folder: string;
const stops: (() => unknown)[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "countersign-guide-"));
  for (const file of ["verify.mjs", "verify.py", "receiver.mjs", "receiver.py"]) {
    await writeFile(join(folder, file), snippet(file));
  }
});
afterAll(async () => {
  for (const stop of stops.reverse()) await stop();
  await rm(folder, { recursive: true, force: true });
});

/** A ledger that grows by one event each time that `append` is called, and gives two a page. */
async function serveLedger() {
  const events: { id: string; type: string; data: object }[] = [];
  const asked: IncomingHttpHeaders[] = [];
  const server = createServer((request, response) => {
    asked.push(request.headers);
    const cursor = Number(new URL(request.url ?? "", "http://ledger").searchParams.get("cursor"));
    const page = events.slice(cursor, cursor + 2);
    const hasMore = cursor + page.length < events.length;
    response.end(JSON.stringify({ events: page, nextCursor: String(cursor + page.length), hasMore }));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  stops.push(() => server.close());
  const append = () => events.push({ id: String(events.length + 1), type: "approval.confirmed", data: {} });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, append, asked };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** Runs a receiver of the guide; `handled` are the ids that it printed as done. */
async function run(command: string, file: string, ledger: string) {
  const port = await freePort();
  const child = spawn(command, [join(folder, file)], {
    env: {
      PATH: process.env.PATH,
      PORT: String(port),
      WEBHOOK_SECRET: SECRET,
      API_URL: ledger,
      API_TOKEN: TOKEN,
      CURSOR_FILE: join(folder, `${file}.cursor`),
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const letGo = guard(child.pid ?? 0);
  const closed = once(child, "close").finally(letGo);
  let printed = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (printed += text));
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await closed;
  };
  stops.push(stop);
  await expect.poll(() => printed).toContain("listening");
  /** Where it goes on from when it is started again; it writes that down after it has printed what it did. */
  const cursor = () => readFileSync(join(folder, `${file}.cursor`), "utf8");
  const handled = () => [...printed.matchAll(/^(\d+) approval\.confirmed/gm)].map(([, id]) => Number(id));
  return { url: `http://127.0.0.1:${port}/`, handled, cursor, stop };
}

const client = createDeliveryClient({ privateHosts: [], allowLocalhost: true, maxSockets: 10 });
stops.push(() => client.close());

const BODY = '{"id":"1","type":"approval.confirmed","data":{"note":"Zoë"}}';

/** Delivers as the service does; `change` spoils it. */
async function deliver(
  url: string,
  {
    secrets = [SECRET],
    age = 0,
    body = BODY,
    headers = {},
  }: {
    secrets?: string[];
    age?: number;
    body?: string;
    headers?: Record<string, string>;
  } = {},
): Promise<number | null> {
  const timestamp = new Date(Date.now() - age * 1_000);
  const signed = signatureHeaders(secrets, {
    id: "d1",
    eventType: "approval.confirmed",
    timestamp,
    body: BODY,
  });
  return (await client.deliver({ url, headers: { ...signed, ...headers }, body })).status;
}

/** Promises a body and hangs up in the middle of it. */
async function abandon(url: string): Promise<void> {
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  await once(socket, "connect");
  socket.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf");
  socket.resetAndDestroy();
}

const LANGUAGES = [
  ["Node", process.execPath, "receiver.mjs", true],
  ["Python", "python3", "receiver.py", PYTHON],
] as const;

describe.each(LANGUAGES)("the guide's receiver in %s", (language, command, file, present) => {
  test.skipIf(!present)(
    "takes what we sign, refuses what we do not, and reads the ledger in order from where it stopped",
    async () => {
      const ledger = await serveLedger();
      const receiver = await run(command, file, ledger.url);
      expect(await deliver(receiver.url)).toBe(204);
      expect(await deliver(receiver.url, { secrets: [newWebhookSecret(), SECRET] })).toBe(204);
      expect(await deliver(receiver.url, { age: 200 })).toBe(204);

      const signature = (value: string) => ({ headers: { "X-OpenTrain-Signature": value } });
      const seconds = Math.floor(Date.now() / 1_000);
      expect(await deliver(receiver.url, { body: BODY.replace("Zoë", "Zoe") })).toBe(401);
      expect(await deliver(receiver.url, { secrets: [newWebhookSecret()] })).toBe(401);
      expect(await deliver(receiver.url, { age: 310 })).toBe(401);
      expect(await deliver(receiver.url, { age: -400 })).toBe(401);
      for (const forged of [
        "",
        "t",
        "t=",
        "v1=",
        "nonsense",
        `t=${seconds}`,
        `t=${seconds},v1`,
        "t=²,v1=²",
        `t=${seconds},v1=é`,
      ]) {
        expect(await deliver(receiver.url, signature(forged)), forged).toBe(401);
      }

      await abandon(receiver.url);

      // The bell rang for none of the events so far: one ring brings them all, in order.
      for (let i = 0; i < 5; i++) ledger.append();
      expect(await deliver(receiver.url)).toBe(204);
      await expect.poll(receiver.handled).toEqual([1, 2, 3, 4, 5]);
      // Rung twice for one event, it is handled once.
      ledger.append();
      expect(await Promise.all([deliver(receiver.url), deliver(receiver.url)])).toEqual([204, 204]);
      await expect.poll(receiver.handled).toEqual([1, 2, 3, 4, 5, 6]);
      await expect.poll(receiver.cursor).toBe("6");
      await receiver.stop();

      // While it is down nothing is sent; once it is back it continues where it stopped.
      ledger.append();
      const again = await run(command, file, ledger.url);
      await expect.poll(again.handled).toEqual([7]);
      expect(ledger.asked.every(({ authorization }) => authorization === `Bearer ${TOKEN}`)).toBe(true);
    },
    120_000,
  );

  test.skipIf(!present)("the way to verify accepts the guide's own example, at the time that it has", () => {
    const { secret, signature, timestamp, body } = exampleOf(GUIDE);
    const script =
      language === "Node"
        ? `Date.now = () => ${timestamp}000; const { verify } = await import("./verify.mjs");
           const [secret, signature, body] = process.argv.slice(1);
           console.log(verify(secret, signature, Buffer.from(body)) ? "accepted" : "refused");`
        : `import sys, time
time.time = lambda: ${timestamp}
from verify import verify
secret, signature, body = sys.argv[1:]
print("accepted" if verify(secret, signature, body.encode()) else "refused")`;
    const flags = language === "Node" ? ["--input-type=module", "-e"] : ["-c"];
    const { stdout, stderr } = spawnSync(command, [...flags, script, secret, signature, body], {
      cwd: folder,
    });
    expect([String(stdout), String(stderr)]).toEqual(["accepted\n", ""]);
  });
});

function exampleOf(guide: string) {
  const find = (pattern: RegExp): string => {
    const found = pattern.exec(guide)?.[1];
    if (found === undefined) throw new Error(`the guide has nothing like ${pattern}`);
    return found;
  };
  return {
    secret: find(/^(whsec_\S+)$/m),
    signature: find(/^X-OpenTrain-Signature: (.*)$/m),
    timestamp: find(/^webhook-timestamp: (\d+)$/m),
    body: find(/^(\{"id".*\})$/m),
    id: find(/^X-OpenTrain-Delivery: (\S+)$/m),
    standard: find(/^webhook-signature: (\S+)$/m),
  };
}

test("the guide's example is what the service sends", () => {
  const { secret, signature, standard, timestamp, body, id } = exampleOf(GUIDE);
  const message = {
    id,
    eventType: "approval.confirmed",
    timestamp: new Date(Number(timestamp) * 1_000),
    body,
  };
  const headers = signatureHeaders([secret], message);
  for (const [name, value] of Object.entries(headers)) expect(GUIDE).toContain(`${name}: ${value}\n`);
  expect(headers).toMatchObject({ "X-OpenTrain-Signature": signature, "webhook-signature": standard });
});
