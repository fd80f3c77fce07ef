import { readFileSync } from "node:fs";
import { join } from "node:path";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { expect, onTestFinished, test } from "vitest";
import { TOOLS } from "../../src/mcp/tools.ts";
import { STDIO_TOOLS } from "../../src/stdio/tools.ts";
import { createClient, textOf } from "../mcp/clients.ts";
import { createFixture } from "../support/fixtures.ts";
import { startService } from "../support/service.ts";
import { listen, newHome } from "./programs.ts";

const PROJECT = join(import.meta.dirname, "../..");
const guide = readFileSync(join(PROJECT, "docs/mcp.md"), "utf8");
const { app } = await startService();
const url = await listen(app);

/** The blocks to paste of docs/mcp.md, with the places in them filled in. */
function configurations(token: string) {
  return [...guide.matchAll(/```json\n(.+?)```/gs)].map(([, text = ""]) => {
    const filled = text
      .replaceAll("https://pay.example.com", url)
      .replaceAll("/path/to/countersign", PROJECT)
      .replaceAll("ot_pat_…", token);
    return JSON.parse(filled).mcpServers.countersign;
  });
}

test("what docs/mcp.md says to paste for stdio starts the program, on the Node that npm has brought", async () => {
  const [{ command, args, env }] = configurations("");
  const client = createClient();
  const { PATH = "", HOME = "" } = process.env;
  await client.connect(
    new StdioClientTransport({
      command,
      args,
      env: { PATH, HOME, XDG_CONFIG_HOME: await newHome(), ...env },
      cwd: "/",
    }),
  );
  onTestFinished(() => client.close());
  expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(
    STDIO_TOOLS.map(({ name }) => name),
  );
  expect(textOf(await client.callTool({ name: "opentrain_auth_status" }))).toContain(
    `no token for ${url} yet`,
  );
});

test("what it says to paste for `/mcp` reaches the service", async () => {
  const { token } = await createFixture(app);
  const { type, url: at, headers } = configurations(token)[1];
  expect(type).toBe("http");
  const client = createClient();
  await client.connect(new StreamableHTTPClientTransport(new URL(at), { requestInit: { headers } }));
  onTestFinished(() => client.close());
  expect((await client.callTool({ name: "opentrain_auth_status" })).isError).toBeUndefined();
});

test("it names every tool that there is, and which are the program's own", () => {
  const named = [...guide.matchAll(/^\| `(opentrain_\w+)` \| (stdio only)?/gm)].map(([, name, own]) => [
    name,
    own,
  ]);
  const known = new Set(TOOLS.map(({ name }): string => name));
  expect(named).toEqual(STDIO_TOOLS.map(({ name }) => [name, known.has(name) ? undefined : "stdio only"]));
});
