import { parseArgs } from "node:util";
import { run } from "./processes.ts";

/**
 * Prints what each statement of a request and of a sweep reads in a small database and in a large one: rows and pages. It is
 * the test of the same, with its table.
 */
const { values } = parseArgs({
  options: { quick: { type: "boolean", default: false }, rows: { type: "string", default: "120000" } },
});
const env = { ...process.env, GROWTH_ROWS: values.quick ? "8000" : values.rows, GROWTH_TABLE: "1" };
await run(process.execPath, ["node_modules/vitest/vitest.mjs", "run", "test/growth/growth.test.ts"], {
  env,
  stdout: true,
});
