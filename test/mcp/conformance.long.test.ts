import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { listen } from "../support/api-client.ts";
import { closeAfterFile } from "../support/closing.ts";
import { fetchTools } from "../support/fetched-tools.ts";
import { createFixture } from "../support/fixtures.ts";
import { startForwarder } from "../support/forwarder.ts";
import { startService } from "../support/service.ts";

const OWN_TOOL = "calls a tool that only the suite's example server has";
const NO_RESOURCES = "this server has tools and no resources, and announces none";
const NO_PROMPTS = "this server has tools and no prompts, and announces none";

/** What the suite asks of a server that this service does not offer, each with its reason. */
const BASELINE: Record<string, string> = {
  "logging-set-level": "this server sends no log messages to clients, and announces no logging",
  "completion-complete": "only arguments of prompts and resources are completed, and there are none",
  "tools-call-simple-text": OWN_TOOL,
  "tools-call-image": OWN_TOOL,
  "tools-call-audio": OWN_TOOL,
  "tools-call-embedded-resource": OWN_TOOL,
  "tools-call-mixed-content": OWN_TOOL,
  "tools-call-with-logging": OWN_TOOL,
  "tools-call-error": OWN_TOOL,
  "tools-call-with-progress": OWN_TOOL,
  "tools-call-sampling": OWN_TOOL,
  "tools-call-elicitation": OWN_TOOL,
  "elicitation-sep1034-defaults": OWN_TOOL,
  "elicitation-sep1330-enums": OWN_TOOL,
  "server-sse-multiple-streams": "keeps no stream open: GET is 405, as the protocol allows",
  "resources-list": NO_RESOURCES,
  "resources-read-text": NO_RESOURCES,
  "resources-read-binary": NO_RESOURCES,
  "resources-templates-read": NO_RESOURCES,
  "resources-subscribe": NO_RESOURCES,
  "resources-unsubscribe": NO_RESOURCES,
  "prompts-list": NO_PROMPTS,
  "prompts-get-simple": NO_PROMPTS,
  "prompts-get-with-args": NO_PROMPTS,
  "prompts-get-embedded-resource": NO_PROMPTS,
  "prompts-get-with-image": NO_PROMPTS,
};

const tools = await fetchTools({ "@modelcontextprotocol/conformance": "0.1.16" });

/** Where requests go on to, and the token that they get: the suite sends none. */
const behind = { origin: "", token: "" };

test.skipIf(tools === undefined)(
  "the official conformance suite passes, but for what a reason is given for",
  async () => {
    const port = await startForwarder(() => ({
      origin: behind.origin,
      headers: { authorization: `Bearer ${behind.token}` },
    }));
    const origin = `http://localhost:${port}`;
    const { app } = await startService({ PUBLIC_URL: origin });
    behind.token = (await createFixture(app)).token;
    behind.origin = await listen(app);
    const folder = await mkdtemp(join(tmpdir(), "countersign-conformance-"));
    closeAfterFile(() => rm(folder, { recursive: true, force: true }));
    const baseline = join(folder, "baseline.yml");
    await writeFile(
      baseline,
      `server:\n${Object.keys(BASELINE)
        .map((name) => `  - ${name}\n`)
        .join("")}`,
    );
    const said = await tools
      ?.run(
        "@modelcontextprotocol/conformance/dist/index.js",
        ...["server", "--url", `${origin}/mcp`, "--expected-failures", baseline, "-o", folder],
      )
      .catch((error) => `${error.stdout}${error.stderr}`);
    expect(said).toContain("dns-rebinding-protection");
    expect(said?.slice(said.indexOf("=== SUMMARY"))).not.toMatch(/Unexpected|Stale/);
  },
);
