import { cp, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { SCOPES } from "../../src/lib/scopes.ts";
import { emptyDatabase } from "../support/clones.ts";
import { closeAfterFile } from "../support/closing.ts";
import { MARIA } from "../support/fixtures.ts";
import { launch, type ServiceProcess, startProcess, waitUntil } from "../support/process.ts";
import { OPERATOR_KEY, serviceEnvironment } from "../support/service.ts";
import { acceptAt, type Browser, browserOf, decideAt } from "../support/visitor.ts";

vi.setConfig({ testTimeout: 240_000 });

const ROOT = join(import.meta.dirname, "../..");
const mainOf = (root: string) => join(root, "src/main.ts");

/** What a next version may do to a schema: add, here to every table. Old programs know none of it. */
const NEXT = `import { type Kysely, sql } from "kysely";
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql\`do $$
    declare name regclass;
    begin
      for name in select oid from pg_class where relkind = 'r' and relname !~ '^kysely_'
        and relnamespace in ('public'::regnamespace, 'auth'::regnamespace, 'sandbox'::regnamespace) order by oid
      loop
        execute format('alter table %s add column next_note text, add column next_count integer not null default 0', name);
      end loop;
    end $$\`.execute(db);
  await sql\`create table next_things (account_id uuid not null, id uuid not null, primary key (account_id, id),
    foreign key (account_id) references accounts (account_id))\`.execute(db);
}
`;

/** A build of this version with one more migration. */
async function buildNext(): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), "countersign-next-"));
  closeAfterFile(() => rm(root, { recursive: true, force: true }));
  for (const path of ["src", "migrations"]) await cp(join(ROOT, path), join(root, path), { recursive: true });
  for (const path of ["package.json", "node_modules"]) await symlink(join(ROOT, path), join(root, path));
  await writeFile(join(root, "migrations/99991231T2359_next.ts"), NEXT);
  return root;
}

/**
 * The version before, and this one. `VERSION_BEFORE` is a checkout of a released version with its packages; without one,
 * this version stands for the one before, and a build of it with one more migration for the next.
 */
const { VERSION_BEFORE } = process.env;
const before = VERSION_BEFORE ?? ROOT;
const after = VERSION_BEFORE === undefined ? await buildNext() : ROOT;

const url = await emptyDatabase();
const environment = serviceEnvironment(url);
const run = (root: string, ...args: string[]) => launch(args, environment, mainOf(root)).ended;

async function operate(service: ServiceProcess, method: string, path: string, body?: unknown): Promise<any> {
  const answer = await service.call(method, `/api/operator/v1${path}`, { token: OPERATOR_KEY, body });
  expect(answer.status, answer.text).toBeLessThan(300);
  return answer.body;
}

/** An account with an owner at a browser, who goes wherever `origin` leads. */
async function createAccount(service: ServiceProcess, origin: () => string) {
  const path = "/accounts/acme";
  await operate(service, "PUT", path, {
    name: "Acme",
    claimed: true,
    features: { public_api_payments_write: true },
  });
  const contract = { title: "Scenes", jobId: "j1", paymentType: "FIXED_PRICE", freelancer: MARIA };
  await operate(service, "PUT", `${path}/contracts/c1`, contract);
  await operate(service, "POST", `${path}/payment-methods`, { paymentMethod: "pm_card_visa" });
  const { token } = await operate(service, "POST", `${path}/tokens`, { name: "Agent", scopes: SCOPES });
  const person = { email: "ada@example.com", name: "Ada", role: "owner" };
  const { inviteUrl } = await operate(service, "POST", `${path}/members`, person);
  const invitation = new URL(inviteUrl).searchParams.get("token") ?? "";
  return { token: token as string, browser: browserOf(origin, await acceptAt(origin(), invitation)) };
}

async function ask(service: ServiceProcess, token: string, milestone: string): Promise<string> {
  const terms = { contractId: "c1", description: "Label scenes", amountUsd: 45 };
  await operate(service, "PUT", `/accounts/acme/milestones/${milestone}`, terms);
  const { status, body } = await service.call("POST", `/milestones/${milestone}/fund`, { token });
  expect(status).toBe(202);
  return body.approval.id;
}

async function confirm(browser: Browser, approval: string): Promise<void> {
  expect((await decideAt(browser, `/approvals/${approval}`, "confirm")).status).toBe(303);
}

async function assertConfirmed(service: ServiceProcess, token: string, approval: string): Promise<void> {
  const { body } = await service.call("GET", `/api/public/v1/approvals/${approval}`, { token });
  expect(body.approval.status).toBe("confirmed");
  const { status } = await service.call("GET", `/api/public/v1/approvals/${approval}/receipt`, { token });
  expect(status).toBe(200);
}

test("the version before runs on this version's schema: through the upgrade, beside it, and after a roll-back", async () => {
  expect((await run(before, "migrate")).code).toBe(0);
  const refused = await run(after, "serve");
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("migrate") });

  let old = await startProcess("start", url, {}, mainOf(before));
  const env = { PUBLIC_URL: `http://localhost:${old.port}` };
  let at = old;
  const { token, browser } = await createAccount(old, () => `http://127.0.0.1:${at.port}`);
  const across = await ask(old, token, "m1");
  await confirm(browser, await ask(old, token, "m2"));

  // The old processes hold connections with statements that were prepared before.
  expect(await run(after, "migrate")).toMatchObject({ code: 0, stderr: "" });
  await confirm(browser, across);
  await assertConfirmed(old, token, across);
  await confirm(browser, await ask(old, token, "m3"));

  const fresh = await startProcess("start", url, env, mainOf(after));
  const askedOld = await ask(old, token, "m4");
  const askedNew = await ask(fresh, token, "m5");
  at = fresh;
  await confirm(browser, askedOld);
  at = old;
  await confirm(browser, askedNew);
  for (const approval of [askedOld, askedNew]) {
    await assertConfirmed(old, token, approval);
    await assertConfirmed(fresh, token, approval);
  }
  expect((await old.stop()).code).toBe(0);
  expect((await fresh.stop()).code).toBe(0);

  const migrated = await run(before, "migrate");
  expect(migrated).toMatchObject({ code: 0, stdout: expect.stringContaining("ahead of this version") });
  old = await startProcess("start", url, env, mainOf(before));
  at = old;
  const last = await ask(old, token, "m6");
  await confirm(browser, last);
  await assertConfirmed(old, token, last);
  // What is written is read again by the sweeps: the operator's feed has every approval that was confirmed.
  await waitUntil(async () => {
    const { events } = await operate(old, "GET", "/updates?limit=100");
    return events.filter(({ type }: { type: string }) => type === "approval.confirmed").length === 6;
  }, "the operator's feed tells of all");
  const audited = await run(before, "audit");
  expect(audited.code, audited.stdout + audited.stderr).toBe(0);
});
