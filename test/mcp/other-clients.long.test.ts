import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { newHome, STDIO_MAIN } from "../stdio/programs.ts";
import { listen } from "../support/api-client.ts";
import { type FetchedTools, fetchTools } from "../support/fetched-tools.ts";
import { createFixture } from "../support/fixtures.ts";
import { startService } from "../support/service.ts";
import { readRow } from "./clients-table.ts";

const INSPECTOR = "2.12.0";
const tools = await fetchTools({
  "@modelcontextprotocol/sdk": "1.32.2",
  "@modelcontextprotocol/inspector": INSPECTOR,
});
const { app } = await startService();
const origin = await listen(app);

/** A client on the SDK's first line. Prints what it found, as JSON. */
const SDK_1 = `
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";

const [origin, token, milestoneId, program, home] = process.argv.slice(2);
const shown = [];
async function connect(transport) {
  const client = new Client({ name: "sdk-1", version: "1" }, { capabilities: { elicitation: { url: {} } } });
  client.setRequestHandler(ElicitRequestSchema, async ({ params }) => {
    shown.push(params.url);
    return { action: "accept" };
  });
  await client.connect(transport);
  return client;
}
const headers = { authorization: "Bearer " + token };
const http = await connect(new StreamableHTTPClientTransport(new URL(origin + "/mcp"), { requestInit: { headers } }));
const env = { ...process.env, COUNTERSIGN_URL: origin, COUNTERSIGN_TOKEN: token, XDG_CONFIG_HOME: home };
const stdio = await connect(new StdioClientTransport({ command: process.execPath, args: [program], env }));
const found = {};
for (const [name, client] of Object.entries({ http, stdio })) {
  const { tools } = await client.listTools();
  const { structuredContent } = await client.callTool({ name: "opentrain_auth_status", arguments: {} });
  found[name] = tools.length > 20;
  found.structured = (found.structured ?? true) && structuredContent?.account !== undefined;
}
const asked = await http
  .callTool({ name: "opentrain_request_milestone_funding", arguments: { milestoneId } })
  .catch((error) => ({ error }));
found.pages = shown.length === 1 || asked.error?.code === -32042;
console.log(JSON.stringify(found));
process.exit();
`;

describe.skipIf(tools === undefined)("the guide says what it can do here of", () => {
  test("TypeScript SDK 1.32", async () => {
    const { folder, run } = tools as FetchedTools;
    const { token, milestone } = await createFixture(app);
    await writeFile(join(folder, "sdk-1.mjs"), SDK_1);
    const said = await run("../sdk-1.mjs", origin, token, milestone, STDIO_MAIN, await newHome());
    expect(JSON.parse(said.trim().split("\n").at(-1) ?? "")).toEqual(readRow("TypeScript SDK 1.32"));
  });

  test("MCP Inspector's command line", async () => {
    const { run } = tools as FetchedTools;
    const { token, milestone } = await createFixture(app);
    const inspect = async (where: string[], ...what: string[]) => {
      const said = await run(
        "@modelcontextprotocol/inspector/clients/launcher/build/index.js",
        "--cli",
        ...where,
        ...what,
      );
      // Its answer, without what else it says.
      return JSON.parse(/^\{.*?^\}$/ms.exec(said)?.[0] ?? said);
    };
    const status = ["--method", "tools/call", "--tool-name", "opentrain_auth_status"];
    const http = [
      ...["--server-url", `${origin}/mcp`, "--transport", "http"],
      ...["--header", `Authorization: Bearer ${token}`],
    ];
    const home = await newHome();
    const stdio = [
      ...[
        "-e",
        `COUNTERSIGN_URL=${origin}`,
        "-e",
        `COUNTERSIGN_TOKEN=${token}`,
        "-e",
        `XDG_CONFIG_HOME=${home}`,
      ],
      ...[process.execPath, STDIO_MAIN],
    ];
    const listed = await inspect(http, "--method", "tools/list");
    const [byHttp, byStdio] = [await inspect(http, ...status), await inspect(stdio, ...status)];
    const fund = ["--method", "tools/call", "--tool-name", "opentrain_request_milestone_funding"];
    const asked = await inspect(http, ...fund, "--tool-arg", `milestoneId=${milestone}`);
    expect({
      http: listed.tools.length > 20,
      stdio: byStdio.isError !== true,
      structured: byHttp.structuredContent !== undefined && byStdio.structuredContent !== undefined,
      // The link is in the text.
      pages: !JSON.stringify(asked.content).includes("/approvals/"),
    }).toEqual(readRow(`MCP Inspector ${INSPECTOR.slice(0, 4)}`));
  });
});
