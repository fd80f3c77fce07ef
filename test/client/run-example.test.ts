import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { listen } from "../support/api-client.ts";
import { createFixture, type Fixture } from "../support/fixtures.ts";
import { createHuman } from "../support/humans.ts";
import { waitUntil } from "../support/process.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import { confirmNow } from "../support/stories.ts";

const PROJECT = join(import.meta.dirname, "..", "..");
const EXAMPLE = join(PROJECT, "packages/client/example.ts");
const { app, db, config, waiters } = await startService();
const origin = await listen(app);

const run = ({ token, milestone }: Fixture) =>
  promisify(execFile)(process.execPath, [EXAMPLE, origin, token, milestone]);

test("the guide shows the example as it is", () => {
  const guide = readFileSync(join(PROJECT, "docs", "client.md"), "utf8");
  expect(guide).toContain(`\n\`\`\`ts\n${readFileSync(EXAMPLE, "utf8")}\`\`\`\n`);
});

test("the example asks, waits, and ends when the human has decided", async () => {
  const fixture = await createFixture(app);
  await createHuman(app, fixture.account);
  const accountId = accountKey(fixture.account);
  const running = run(fixture);
  // It has read what there was, and waits for what there is not yet.
  await waitUntil(() => waiters.count === 1, "the example waits");
  const { id: approvalId } = await db
    .selectFrom("approvals")
    .where("account_id", "=", accountId)
    .select("id")
    .executeTakeFirstOrThrow();
  const processor = createSandbox(db, config.publicUrl);
  await confirmNow({ db, config, processor }, { accountId, approvalId });
  expect((await running).stdout.split("\n")).toEqual([
    `Your human decides at ${PUBLIC_URL}/approvals/${approvalId}`,
    "They have: it is confirmed",
    "",
  ]);
});

test("the example says which page its human needs", async () => {
  const refusals = {
    card: `add a card first: ${PUBLIC_URL}/billing`,
    claimed: `claim the account first: ${PUBLIC_URL}/claim`,
  };
  for (const [missing, said] of Object.entries(refusals)) {
    const fixture = await createFixture(app, { [missing]: false });
    await expect(run(fixture)).rejects.toThrow(said);
  }
});
