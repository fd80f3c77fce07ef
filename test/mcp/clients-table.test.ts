import { expect, test } from "vitest";
import { newHome, startProgram } from "../stdio/programs.ts";
import { listen } from "../support/api-client.ts";
import { createFixture } from "../support/fixtures.ts";
import { startService } from "../support/service.ts";
import { connectTo } from "./clients.ts";
import { readRow } from "./clients-table.ts";

const { app } = await startService();
const origin = await listen(app);
const FUND = "opentrain_request_milestone_funding";

// The other clients of the table: other-clients.long.test.ts.
test.each([
  ["TypeScript SDK 2.4", "modern"],
  ["TypeScript SDK 2.4, with a handshake", "legacy"],
] as const)("the guide says of %s what it can do here", async (name, era) => {
  const { token, milestone } = await createFixture(app);
  const shown: string[] = [];
  const showUrl = async ({ url }: { url: string }) => {
    shown.push(url);
    return "accept" as const;
  };
  const byHttp = await connectTo(app, { era, token, showUrl });
  const { tools } = await byHttp.listTools();
  const me = await byHttp.callTool({ name: "opentrain_auth_status", arguments: {} });
  const program = await startProgram({ url: origin, home: await newHome(), token, era, showUrl });
  const byStdio = await program.call("opentrain_auth_status");
  await byHttp.callTool({ name: FUND, arguments: { milestoneId: milestone } });
  expect({
    http: tools.length > 20,
    stdio: byStdio.isError === false,
    structured: me.structuredContent !== undefined && byStdio.body !== undefined,
    pages: shown.length === 1,
  }).toEqual(readRow(name));
});
