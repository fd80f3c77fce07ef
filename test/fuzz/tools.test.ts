import fc from "fast-check";
import { expect, test } from "vitest";
import { INPUTS, type ToolName } from "../../src/mcp/tools.ts";
import { connectTo, textOf } from "../mcp/clients.ts";
import { createFixture, fund } from "../support/fixtures.ts";
import { count } from "../support/long.ts";
import { startService } from "../support/service.ts";
import { hostile, near, type Schema, valid } from "./values.ts";

const CALLS = Number(process.env.FUZZ_REQUESTS ?? count(250, 20_000)) / 5;
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);

const { app } = await startService();

test(`no call of ${CALLS} to a tool of /mcp breaks it, whatever the arguments`, {
  timeout: 60_000 + CALLS * 100,
}, async () => {
  console.log(`fuzzing tools, FUZZ_SEED=${SEED}`);
  const { token, milestone, contract } = await createFixture(app);
  const { approval } = (await fund(app, token, milestone)).body;
  const client = await connectTo(app, { token });
  const known = { milestoneId: milestone, contractId: contract, approvalId: approval.id };
  const calls = (Object.keys(INPUTS) as ToolName[]).map((name) => {
    const { properties, ...schema } = INPUTS[name] as Schema;
    // Not to wait 30 s each time.
    const short = Object.entries(properties ?? {}).filter(([key]) => !/^wait/.test(key));
    const described = { ...schema, properties: Object.fromEntries(short) };
    const right = valid(described).map((args) => {
      const ids = Object.entries(known).filter(([key]) => properties?.[key] !== undefined);
      return {
        ...(args as object),
        ...Object.fromEntries(ids),
        ...(properties?.waitSeconds ? { waitSeconds: 1 } : {}),
      };
    });
    const odd = fc.oneof(
      near(described),
      hostile.map((value) => ({ [Object.keys(known)[0] ?? ""]: value, value })),
    );
    return fc
      .oneof(
        // One that waits takes its second.
        { weight: properties?.waitSeconds ? 0 : 1, arbitrary: right },
        {
          weight: 2,
          arbitrary: odd.filter((args) => typeof args === "object" && args !== null && !Array.isArray(args)),
        },
      )
      .map((args) => ({ name, args: JSON.parse(JSON.stringify(args)) }));
  });
  const outcomes = new Map<string, number>();
  for (const { name, args } of fc.sample(fc.oneof(...calls), { seed: SEED, numRuns: CALLS })) {
    const outcome = await client.callTool({ name, arguments: args }).then(
      (result) =>
        result.isError ? (/^REFUSED \((\d+)/.exec(textOf(result))?.[1] ?? textOf(result)) : "done",
      // What cannot be stored, or would change what objects are, is refused before it is read further.
      (error: unknown) => (String(error).includes("BAD_REQUEST") ? "unreadable" : `broken: ${error}`),
    );
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    // 403: the token has no scope for webhooks. 409: a milestone that is not funded cannot be released. 422: a key that came with other arguments before.
    expect(
      ["done", "400", "403", "404", "409", "422", "unreadable"],
      `${name} ${JSON.stringify(args)}`,
    ).toContain(outcome);
  }
  expect([...outcomes.keys()]).toEqual(expect.arrayContaining(["done", "400"]));
});
