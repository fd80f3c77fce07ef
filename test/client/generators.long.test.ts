import { copyFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { rolldown } from "rolldown";
import { describe, expect, test } from "vitest";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { runAgent } from "../support/agent-program.ts";
import { type FetchedTools, fetchTools } from "../support/fetched-tools.ts";
import { createFixture } from "../support/fixtures.ts";
import { createHuman } from "../support/humans.ts";
import { freePort } from "../support/process.ts";
import { startService } from "../support/service.ts";
import { confirmNow } from "../support/stories.ts";
import { FEATURES } from "../support/webhooks.ts";
import { CLIENTS } from "./generated/clients.ts";

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

const COMPILER = {
  target: "esnext",
  module: "esnext",
  moduleResolution: "bundler",
  lib: ["esnext", "dom", "dom.iterable"],
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  allowImportingTsExtensions: true,
  types: [],
};

// The clients call the address that the description names.
const port = await freePort();
const origin = `http://127.0.0.1:${port}`;
const { app, db, config } = await startService({ PUBLIC_URL: origin });
await app.listen({ host: "127.0.0.1", port });

describe.skipIf(tools === undefined)("a client made from the served description by", () => {
  test.each(Object.entries(CLIENTS))(
    "%s compiles under strict rules, and tells the story",
    async (name, { generate, program }) => {
      const { folder, run } = tools as FetchedTools;
      const description = await fetch(`${origin}/api/public/v1/openapi.json`);
      await writeFile(join(folder, "api.json"), await description.text());
      await generate(tools as FetchedTools);
      await copyFile(join(import.meta.dirname, "generated/story.ts"), join(folder, "story.ts"));
      await writeFile(join(folder, `${name}.ts`), program);
      const include = [`out/${name}`, `${name}.ts`];
      const project = join(folder, `tsconfig.${name}.json`);
      await writeFile(project, JSON.stringify({ compilerOptions: COMPILER, include }));
      const faults = await run("typescript/bin/tsc", "-p", project).catch((error) => error.stdout);
      expect(faults).toBe("");

      const built = join(folder, `${name}.mjs`);
      const bundle = await rolldown({ input: join(folder, `${name}.ts`), platform: "node" });
      await bundle.write({ file: built });
      const fixture = await createFixture(app, { features: FEATURES });
      await createHuman(app, fixture.account);
      const processor = createSandbox(db, config.publicUrl);
      const told = await runAgent([built, fixture.token], async ({ approvalId }) => {
        const accountId = accountKey(fixture.account);
        await confirmNow({ db, config, processor }, { accountId, approvalId });
      });
      expect(told).toMatchObject({ code: 0, complaints: "", done: true });
      expect(told.decided).toHaveLength(1);
    },
  );
});
