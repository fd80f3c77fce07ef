import { copyFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type FetchedTools, fetchTools } from "../support/fetched-tools.ts";

const PROJECT = join(import.meta.dirname, "../..");
const KUBB = "4.39.3";

const tools = await fetchTools({
  typescript: "5.9.3",
  "@hey-api/openapi-ts": "0.99.0",
  "@kubb/cli": KUBB,
  "@kubb/core": KUBB,
  "@kubb/plugin-client": KUBB,
  "@kubb/plugin-oas": KUBB,
  "@kubb/plugin-ts": KUBB,
  axios: "1.13.2",
  "openapi-typescript-codegen": "0.31.0",
  orval: "8.38.0",
  "swagger-typescript-api": "13.13.0",
});

/** How each writes a client of `api.json` into `out/<its name>`. openapi-typescript writes ours, in every run. */
const GENERATORS: Record<string, (tools: FetchedTools) => Promise<string>> = {
  "openapi-typescript-codegen": ({ run }) =>
    run(
      "openapi-typescript-codegen/bin/index.js",
      ...["--input", "api.json", "--output", "out/openapi-typescript-codegen", "--client", "fetch"],
    ),
  "hey-api": ({ run }) =>
    run(
      "@hey-api/openapi-ts/bin/run.js",
      "-i",
      "api.json",
      "-o",
      "out/hey-api",
      "-c",
      "@hey-api/client-fetch",
    ),
  orval: ({ run }) =>
    run(
      "orval/dist/bin/orval.mjs",
      "--input",
      "api.json",
      "--output",
      "out/orval/api.ts",
      "--client",
      "fetch",
    ),
  "swagger-typescript-api": ({ run }) =>
    run(
      "swagger-typescript-api/dist/cli.mjs",
      "generate",
      "-p",
      "api.json",
      "-o",
      "out/swagger-typescript-api",
    ),
  kubb: async ({ folder, run }) => {
    const config = `import { pluginClient } from "@kubb/plugin-client";
import { pluginOas } from "@kubb/plugin-oas";
import { pluginTs } from "@kubb/plugin-ts";
export default {
  root: ".",
  input: { path: "api.json" },
  output: { path: "./out/kubb", format: false, lint: false },
  plugins: [pluginOas({ validate: false }), pluginTs(), pluginClient({ client: "fetch", bundle: true })],
};`;
    await writeFile(join(folder, "kubb.config.mjs"), config);
    return run("@kubb/cli/bin/kubb.cjs", "generate");
  },
};

const COMPILER = {
  compilerOptions: {
    ...{
      target: "esnext",
      module: "esnext",
      moduleResolution: "bundler",
      lib: ["esnext", "dom", "dom.iterable"],
    },
    ...{ strict: true, noEmit: true, skipLibCheck: true, allowImportingTsExtensions: true, types: [] },
  },
};

describe.skipIf(tools === undefined)("a client made from the description by", () => {
  test.each(Object.entries(GENERATORS))("%s compiles under strict rules", async (name, generate) => {
    const { folder, run } = tools as FetchedTools;
    await copyFile(join(PROJECT, "docs/openapi.json"), join(folder, "api.json"));
    await generate(tools as FetchedTools);
    const config = join(folder, `tsconfig.${name}.json`);
    await writeFile(config, JSON.stringify({ ...COMPILER, include: [`out/${name}`] }));
    const faults = await run("typescript/bin/tsc", "-p", config).catch((error) => error.stdout);
    expect(faults).toBe("");
  });
});
