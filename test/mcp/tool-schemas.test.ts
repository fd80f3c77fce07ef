import { describe, expect, test } from "vitest";
import { TOOL_KEYWORDS, toToolSchema } from "../../src/mcp/tool-schema.ts";
import { INPUTS, TOOLS } from "../../src/mcp/tools.ts";
import { STDIO_TOOLS } from "../../src/stdio/tools.ts";

/** Every schema within a schema, with its path. */
function* partsOf(schema: any, path: string): Generator<[string, Record<string, unknown>]> {
  yield [path, schema];
  for (const [name, of] of Object.entries<any>(schema.properties ?? {}))
    yield* partsOf(of, `${path}.${name}`);
  for (const one of schema.anyOf ?? []) yield* partsOf(one, `${path}|`);
  if (typeof schema.items === "object") yield* partsOf(schema.items, `${path}[]`);
  if (typeof schema.additionalProperties === "object")
    yield* partsOf(schema.additionalProperties, `${path}.*`);
}

const schemas = STDIO_TOOLS.flatMap(({ name, inputSchema, outputSchema }) => [
  [`${name} takes`, inputSchema],
  [`${name} answers`, outputSchema],
]) as [string, object][];

describe("a tool's schema", () => {
  test.each(schemas)("%s: has only keywords that every model vendor takes", (name, schema) => {
    for (const [path, part] of partsOf(schema, name)) {
      const foreign = Object.keys(part).filter((keyword) => !TOOL_KEYWORDS.some((one) => one === keyword));
      expect(foreign, path).toEqual([]);
    }
    expect(schema).toMatchObject({ type: "object", properties: expect.any(Object) });
    expect(schema).not.toHaveProperty("anyOf");
  });

  test("of none has what a vendor is known to refuse", () => {
    const refused = [
      "$ref",
      "$defs",
      "format",
      "pattern",
      "exclusiveMinimum",
      "exclusiveMaximum",
      "const",
      "oneOf",
      "allOf",
    ];
    expect(TOOL_KEYWORDS.filter((keyword) => refused.includes(keyword))).toEqual([]);
  });

  test("of arguments gives each one type, and says in words what a keyword may not", () => {
    for (const { name, inputSchema } of STDIO_TOOLS)
      for (const [path, { type }] of partsOf(inputSchema, name))
        expect(type, path).toEqual(expect.any(String));
    const { properties } = TOOLS.find(({ name }) => name === "opentrain_create_milestone")?.inputSchema ?? {};
    expect(properties?.volume).toMatchObject({
      type: "number",
      description: expect.stringContaining("More than 0."),
    });
    expect(properties?.dueDate).toEqual({
      type: "string",
      description: "A date, or a time in UTC. For example: 2026-12-15.",
    });
  });

  test("names the same arguments as the schema that they are checked against, and requires the same", () => {
    for (const { name, inputSchema } of TOOLS) {
      const checked = INPUTS[name];
      expect(Object.keys(inputSchema.properties), name).toEqual(Object.keys(checked.properties));
      expect(inputSchema.required, name).toEqual(checked.required);
    }
  });

  test("refers to nothing outside itself, and an unknown reference stops the start", () => {
    expect(JSON.stringify(schemas)).not.toContain("$ref");
    expect(() => toToolSchema({ $ref: "Nothing#" } as never)).toThrow("no shared schema is called Nothing#");
  });
});
