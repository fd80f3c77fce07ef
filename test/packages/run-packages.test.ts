import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import manifest from "../../package.json" with { type: "json" };
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { createClient } from "../mcp/clients.ts";
import { listen } from "../support/api-client.ts";
import { createFixture } from "../support/fixtures.ts";
import { LONG } from "../support/long.ts";
import { programEnvironment } from "../support/program-env.ts";
import { decideEveryWay } from "../support/receipts.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";

const ROOT = join(import.meta.dirname, "../..");
const NAMES = ["client", "mcp", "verify-receipt"];
/** The oldest Node that is maintained, and every later even one. */
const VERSIONS = ["20", "22", "24", "26"];
const TYPED = `import { createClient } from "@countersign/client";
const { data, error } = await createClient({ origin: "http://localhost:3000", token: "t" }).GET("/auth/me");
const status: string | undefined = data?.account.organizationId ?? error?.code;
console.log(status);
`;

const run = promisify(execFile);
const service = await startService();
const origin = await listen(service.app);
const folder = await mkdtemp(join(tmpdir(), "countersign-packages-"));
const installed = join(folder, "installed");
afterAll(() => rm(folder, { recursive: true, force: true }));

/**
 * Packs the packages and installs their tarballs: in a long run as a stranger does, with what npm finds for them; in an
 * everyday one beside the packages that this repository has, without the network.
 */
beforeAll(async () => {
  await run(process.execPath, [join(ROOT, "packages/build.ts")]);
  const built = NAMES.map((name) => join(ROOT, "packages", name, "dist"));
  await run("npm", ["pack", "--pack-destination", folder, ...built]);
  const tarballs = (await readdir(folder)).filter((name) => name.endsWith(".tgz"));
  expect(tarballs).toHaveLength(NAMES.length);
  await mkdir(installed);
  await writeFile(join(installed, "package.json"), '{ "private": true, "type": "module" }');
  if (LONG) {
    const given = tarballs.map((name) => join(folder, name));
    await run("npm", ["install", "--no-audit", "--no-fund", ...given], { cwd: installed });
    return;
  }
  const modules = join(installed, "node_modules/@countersign");
  await mkdir(modules, { recursive: true });
  for (const name of NAMES) {
    await mkdir(join(modules, name));
    const tarball = tarballs.find((tarball) => tarball.includes(`-${name}-`)) ?? "";
    await run("tar", ["-xzf", join(folder, tarball), "--strip-components=1", "-C", join(modules, name)]);
  }
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
}, 300_000);

/** A Node of this version: the one that runs the tests, or in a long run the newest of its line. */
async function findNode(version: string): Promise<string> {
  if (process.versions.node.startsWith(`${version}.`)) return process.execPath;
  // The names of npm's packages with a Node are per platform; one of them is installed here.
  const [own = ""] = Object.keys(manifest.optionalDependencies).filter(
    (name) => name.startsWith("node-") && existsSync(join(ROOT, "node_modules", name)),
  );
  const prefix = join(folder, `node-${version}`);
  await run("npm", ["install", "--no-audit", "--no-fund", "--prefix", prefix, `${own}@${version}`]);
  return join(prefix, "node_modules", own, "bin/node");
}

const binary = (name: string) => join(installed, "node_modules/@countersign", name, "index.js");

describe.each(LONG ? VERSIONS : ["26"])("on Node %s", { timeout: 300_000 }, (version) => {
  let node = "";
  beforeAll(async () => {
    node = await findNode(version);
    expect((await run(node, ["--version"])).stdout).toMatch(new RegExp(`^v${version}\\.`));
  }, 300_000);

  test("the client's tarball calls the API", async () => {
    const { token, account } = await createFixture(service.app);
    const script = join(installed, "call.js");
    await writeFile(
      script,
      `import { createClient } from "@countersign/client";
      const { data, error } = await createClient({ origin: process.argv[2], token: process.argv[3] }).GET("/auth/me");
      console.log(JSON.stringify(error ?? data.account));`,
    );
    const { stdout } = await run(node, [script, origin, token]);
    expect(JSON.parse(stdout)).toMatchObject({ organizationId: account });
  });

  test("the MCP program's tarball serves its tools to the official client", async () => {
    const { token, milestone } = await createFixture(service.app);
    const env = { ...programEnvironment(), COUNTERSIGN_URL: origin, COUNTERSIGN_TOKEN: token };
    const transport = new StdioClientTransport({
      command: node,
      args: [binary("mcp")],
      env,
      stderr: "inherit",
    });
    const client = createClient();
    await client.connect(transport);
    onTestFinished(() => client.close());
    const { tools } = await client.listTools();
    expect(tools.length).toBeGreaterThan(10);
    const answer = await client.callTool({
      name: "opentrain_request_milestone_funding",
      arguments: { milestoneId: milestone },
    });
    expect(answer.structuredContent).toMatchObject({
      approval: { milestoneId: milestone, status: "pending" },
    });
    expect(client.getServerVersion()?.version).toBe(manifest.version);
  });

  test("the verifier's tarball accepts a genuine receipt and refuses a changed one", async () => {
    const processor = createSandbox(service.db, PUBLIC_URL);
    const { byPasskey } = await decideEveryWay({ ...service, processor });
    const keys = join(folder, "jwks.json");
    await writeFile(keys, await (await fetch(new URL("/.well-known/jwks.json", origin))).text());
    const [genuine, changed] = [join(folder, "genuine.json"), join(folder, "changed.json")];
    const text = byPasskey.bytes.toString("utf8");
    await writeFile(genuine, text);
    await writeFile(changed, text.replace(/"amountCents":\d/, '"amountCents":9'));
    const verify = (file: string) => run(node, [binary("verify-receipt"), file, "--key", keys]);
    expect((await verify(genuine)).stdout).toContain(`${genuine}: genuine`);
    await expect(verify(changed)).rejects.toMatchObject({ code: 1, stderr: /^REFUSED/ });
  });
});

test("a strict compiler takes the client's types", async () => {
  const script = join(installed, "typed.ts");
  await writeFile(script, TYPED);
  const options = ["--ignoreConfig", "--strict", "--noEmit", "--module", "nodenext", "--target", "esnext"];
  const lib = ["--lib", "esnext,dom", "--types", ""];
  await run(process.execPath, [
    join(ROOT, "node_modules/typescript/bin/tsc"),
    ...options,
    ...lib,
    script,
  ]).catch((error) => expect.fail(error.stdout));
});
