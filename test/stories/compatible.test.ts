import { join } from "node:path";
import { expect, test } from "vitest";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { runAgent } from "../support/agent-program.ts";
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
  const processor = createSandbox(db, config.publicUrl);
  const program = join(import.meta.dirname, "reference-agent.ts");
  const told = await runAgent([program, origin, fixture.token], async ({ approvalId, approvalUrl }) => {
    expect(approvalUrl).toBe(`${config.publicUrl}/approvals/${approvalId}`);
    await confirmNow({ db, config, processor }, { accountId, approvalId });
  });
  expect(told).toMatchObject({ code: 0, complaints: "", done: true });
  expect(told.decided).toHaveLength(2);
});
