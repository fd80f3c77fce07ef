// `npm ci` runs this after the installation, and `countersign.mjs` imports it: it says in one line what the program lacks.
// It must parse on old Nodes. With `--why` it runs on the Node that runs npm, because the Node that npm installed could not
// load its libraries. A Node that cannot be executed at all (on musl) is skipped by the shell, which takes the next one.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = new URL("../", import.meta.url);
const npmNode = fileURLToPath(new URL("node_modules/.bin/node", root));
const needed = Number(
  /\d+/.exec(JSON.parse(readFileSync(new URL("package.json", root), "utf8")).engines.node),
);
const alone = `install Node ${needed} yourself, run "npm ci --omit=optional" and set DATABASE_URL`;

const asked = process.argv.includes("--why");
const fault = asked ? whyNpmNodeFails() : whatIsMissing();
if (fault) console.error(fault);
if (fault || asked) process.exitCode = 1;

function whatIsMissing() {
  if (Number.parseInt(process.versions.node, 10) < needed) return whyThisNode();
  // biome-ignore lint/style/noProcessEnv: the configuration is TypeScript, which may not load here
  const { DATABASE_URL, npm_lifecycle_event } = process.env;
  // What is installed may be run with a database of its own.
  if (!DATABASE_URL && npm_lifecycle_event !== "postinstall" && isMusl()) {
    return "The embedded Postgres needs glibc, and this system has musl (Alpine?): set DATABASE_URL, or use the container image";
  }
}

function whyThisNode() {
  const here = `Countersign needs Node ${needed}, and this is ${process.versions.node}`;
  if (!existsSync(npmNode)) {
    return `${here}: run "npm ci" without --omit=optional, which brings one for Linux, macOS and Windows, or ${alone}`;
  }
  return (
    whyNpmNodeFails() ||
    `${here}: use "npm start", or "npx node" in the place of node; both run on the Node that npm has brought`
  );
}

function whyNpmNodeFails() {
  const tried = spawnSync(npmNode, ["--version"], { encoding: "utf8" });
  if (tried.status === 0 || (asked && tried.error)) return undefined;
  const said = String(tried.stderr || tried.error)
    .trim()
    .split("\n")[0];
  if (said.includes("libatomic")) {
    return `Node ${needed} needs libatomic.so.1: install it (Debian and Ubuntu: apt-get install libatomic1; Fedora: dnf install libatomic)`;
  }
  if (said.includes("ENOENT") && existsSync(npmNode)) {
    return `The Node and the Postgres from npm need glibc, which this system lacks (Alpine?): use the container image, or ${alone}`;
  }
  return `The Node from npm does not start (${said}): use the container image, or ${alone}`;
}

function isMusl() {
  if (process.platform !== "linux") return false;
  process.report.excludeNetwork = true; // or it would look up the name of every open socket's peer
  return !process.report.getReport().header.glibcVersionRuntime;
}
