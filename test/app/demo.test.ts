import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { prepareDemo } from "../../src/app/demo.ts";
import { createSandbox } from "../../src/billing/sandbox.ts";
import { keepSecret } from "../../src/config/kept-secret.ts";
import { call } from "../support/fixtures.ts";
import { cookieOf, open, signIn } from "../support/humans.ts";
import { startService } from "../support/service.ts";

const { app, db, config } = await startService();

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

test("outside the demo there is no mailbox page", async () => {
  expect((await call(app, "GET", "/demo/mailbox", { headers: { accept: "text/html" } })).status).toBe(404);
});

test("a secret that nobody gave is kept for the next start, for its owner's eyes alone", async () => {
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
