import { expect, test } from "vitest";
import { asOwner, cloneDatabase } from "../support/clones.ts";
import { runProgram } from "../support/process.ts";

const url = asOwner(await cloneDatabase());

test.for([
  [[], { DATABASE_URL: url }, "This database has no Citus: "],
  [["--undo"], { DATABASE_URL: url }, "This database has no Citus: "],
  [
    ["--shards", "many"],
    { DATABASE_URL: url },
    "distribute [--shards N] [--undo]: --shards must be a number",
  ],
  [["--all"], { DATABASE_URL: url }, "distribute [--shards N] [--undo]: "],
  [[], {}, "distribute needs DATABASE_MIGRATE_URL (or DATABASE_URL): "],
] as const)("distribute %j is refused in one line", async ([args, env, said]) => {
  const ended = await runProgram(["distribute", ...args], env);
  expect(ended).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining(said) });
  expect(ended.stderr.trimEnd().split("\n")).toHaveLength(1);
});
