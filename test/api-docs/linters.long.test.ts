import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type FetchedTools, fetchTools } from "../support/fetched-tools.ts";

const DOCS = join(import.meta.dirname, "../../docs");
const DOCUMENTS = ["openapi.json", "operator-openapi.json"];
const tools = await fetchTools({ "@redocly/cli": "2.77.0", "@stoplight/spectral-cli": "6.16.3" });

/** What the linters warn of that stays, each with its reason. */
const ANSWERED = {
  redocly: {
    // The committed document is that of an example address; a service fills in its own.
    "no-server-example.com": "off",
  },
  spectral: {
    // OpenAPI 3.1 lets any scheme list the roles that a call needs; a bearer scheme has no place to declare them.
    "oas3-operation-security-defined": "off",
    // The summaries of the operator's calls say all.
    "operation-description": "off",
  },
};

describe.skipIf(tools === undefined)("the descriptions have no fault and no unanswered warning by", () => {
  test.each(DOCUMENTS)("Redocly: %s", async (document) => {
    const { folder, run } = tools as FetchedTools;
    const config = { extends: ["recommended"], rules: ANSWERED.redocly };
    await writeFile(join(folder, "redocly.yaml"), JSON.stringify(config));
    const said = await run("@redocly/cli/bin/cli.js", "lint", join(DOCS, document), "--format=json");
    expect(JSON.parse(said.slice(said.indexOf("{"), said.lastIndexOf("}") + 1)).totals).toMatchObject({
      errors: 0,
      warnings: 0,
    });
  });

  test.each(DOCUMENTS)("Spectral: %s", async (document) => {
    const { folder, run } = tools as FetchedTools;
    const ruleset = join(folder, "spectral.json");
    await writeFile(ruleset, JSON.stringify({ extends: ["spectral:oas"], rules: ANSWERED.spectral }));
    const lint = run(
      "@stoplight/spectral-cli/dist/index.js",
      "lint",
      join(DOCS, document),
      "-r",
      ruleset,
      "-f",
      "text",
    );
    expect(await lint.catch((error) => error.stdout)).toContain(
      "No results with a severity of 'error' found!",
    );
    expect(await lint.catch((error) => error.stdout)).not.toMatch(/warning/);
  });
});
