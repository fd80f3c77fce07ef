import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { listen } from "../support/api-client.ts";
import { PAYOUT_ACCOUNT, setPayoutAccount } from "../support/escrow.ts";
import { createFixture } from "../support/fixtures.ts";
import { createHuman } from "../support/humans.ts";
import { startService } from "../support/service.ts";
import { confirmNow } from "../support/stories.ts";
import { FEATURES } from "../support/webhooks.ts";

const { app, db, config } = await startService();
const origin = await listen(app);

test("an agent that was written for the compatible API's reference runs without a change but the address", async () => {
  const fixture = await createFixture(app, { features: FEATURES });
  await setPayoutAccount(app, fixture, PAYOUT_ACCOUNT);
  await createHuman(app, fixture.account);
  const accountId = accountKey(fixture.account);
  const agent = spawn(
    process.execPath,
    [join(import.meta.dirname, "reference-agent.ts"), origin, fixture.token],
    {
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let complaints = "";
  agent.stderr.on("data", (text) => {
    complaints += text;
  });
  const ended = once(agent, "close");
  const decided: string[] = [];
  let done = false;
  // The human: confirms what the agent hands them.
  for await (const line of createInterface(agent.stdout)) {
    const said = JSON.parse(line);
    done = said.done === true;
    if (done) continue;
    expect(said.approvalUrl).toBe(`${config.publicUrl}/approvals/${said.approvalId}`);
    const processor = createSandbox(db, config.publicUrl);
    await confirmNow({ db, config, processor }, { accountId, approvalId: said.approvalId });
    decided.push(said.approvalId);
  }
  expect([(await ended)[0], complaints, done]).toEqual([0, "", true]);
  expect(decided).toHaveLength(2);
});
