import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createApp } from "../../src/app/app.ts";
import { giveDemoContracts, prepareDemo } from "../../src/app/demo.ts";
import { createLogger } from "../../src/app/logger.ts";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { keepSecret } from "../../src/config/kept-secret.ts";
import { inTransaction } from "../../src/database/transaction.ts";
import { line } from "../../src/mail/line.ts";
import { listMailbox, queueMail } from "../../src/mail/service.ts";
import { call, operate } from "../support/fixtures.ts";
import { cookieOf, open, signIn } from "../support/humans.ts";
import { startService } from "../support/service.ts";

const started = await startService();
const { app, db, config } = started;
const service = {
  ...started,
  processor: createSandbox(db, "http://localhost:3000"),
  logger: createLogger("silent"),
};

test("the demo's owner is made once, with a new password at each start, and stays signed in", async () => {
  const deps = { db, config, processor: createSandbox(db, "http://localhost:3000") };
  const first = await prepareDemo(deps);
  const session = await signIn(app, first.email, first.password);
  expect(session.status).toBe(303);
  const second = await prepareDemo(deps);
  expect((await signIn(app, first.email, first.password)).status).toBe(422);
  expect((await signIn(app, second.email, second.password)).status).toBe(303);
  expect((await open(app, "/settings/security", { cookie: cookieOf(session) })).status).toBe(200);
  const members = await db.selectFrom("members").select(["role", "status"]).execute();
  expect(members).toEqual([{ role: "owner", status: "active" }]);
});

test("an agent that registered itself finds a contract to try, once its account is claimed", async () => {
  const deps = { db, config, processor: createSandbox(db, "http://localhost:3000") };
  const { body } = await call(app, "POST", "/api/agent/identity", { body: { agent_name: "Claude Code" } });
  const list = async () =>
    (await call(app, "GET", "/api/public/v1/contracts", { token: body.access_token })).body.contracts;
  await giveDemoContracts(deps);
  expect(await list()).toEqual([]);
  await operate(app, "PUT", `/accounts/${body.registration_id}`, { claimed: true });
  await giveDemoContracts(deps);
  const contracts = await list();
  expect(contracts).toMatchObject([{ id: "demo-contract", status: "active" }]);
  expect(contracts[0].milestones).toHaveLength(3);
  await giveDemoContracts(deps);
  expect(await list()).toEqual(contracts);
});

test("outside the demo there is no mailbox page", async () => {
  expect((await call(app, "GET", "/demo/mailbox", { headers: { accept: "text/html" } })).status).toBe(404);
});

test("the demo's mailbox answers a Host that is this machine alone, so that no rebound name reads it", async () => {
  const demo = await createApp({ ...service, config: { ...service.config, demo: true } });
  const mail = { to: "a@example.com", subject: line`A secret`, paragraphs: [line`Link`] };
  await inTransaction(db, async (trx) => queueMail(trx, mail, new Date()));
  const [{ id } = { id: "" }] = await listMailbox(db);
  const read = async (url: string, host: string) =>
    (await demo.inject({ url, headers: { host, accept: "text/html" } })).statusCode;
  for (const url of ["/demo/mailbox", `/demo/mailbox/${id}`]) {
    for (const host of ["localhost:3000", "localhost", "127.0.0.1:80", "[::1]:3000"])
      expect(await read(url, host), host).toBe(200);
    for (const host of ["rebound.example", "rebound.example:3000", "localhost.example", "192.0.2.1", "@:"])
      expect(await read(url, host), host).toBe(404);
  }
  await demo.close();
});

test("a secret that was not configured is kept for the next start, readable by its owner alone", async () => {
  const folder = await mkdtemp(join(tmpdir(), "countersign-secret-"));
  const dataDir = join(folder, "data");
  const both = await Promise.all([
    keepSecret(dataDir, "session-secret"),
    keepSecret(dataDir, "session-secret"),
  ]);
  expect(both[0]).toHaveLength(32);
  expect(both[1]).toEqual(both[0]);
  const file = join(dataDir, "session-secret");
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(Buffer.from(await readFile(file, "utf8"), "base64")).toEqual(both[0]);
  await writeFile(file, "short");
  await expect(keepSecret(dataDir, "session-secret")).rejects.toThrow("is damaged");
  await rm(folder, { recursive: true });
});
