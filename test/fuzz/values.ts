import fc from "fast-check";

/** As much of a JSON Schema as the document uses. */
export type Schema = {
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  pattern?: string;
  format?: string;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  maxItems?: number;
  additionalProperties?: boolean | Schema;
  anyOf?: Schema[];
  examples?: unknown[];
};

/** Text that has broken a service before. */
const HOSTILE_TEXTS = [
  "",
  " ",
  "\u0000",
  "a\u0000b",
  "\ud800",
  "\udc00x",
  "\u202egnp.exe",
  "e\u0301".repeat(50),
  "💣".repeat(20),
  "'; drop table approvals; --",
  '" or 1=1 --',
  "<script>alert(1)</script>",
  "{{7*7}}",
  "../../etc/passwd",
  "..\\..\\windows",
  "%00",
  "%2e%2e%2f",
  "%",
  "null",
  "undefined",
  "NaN",
  "-1",
  "0x10",
  "1e400",
  "9".repeat(40),
  "true",
  "[object Object]",
  "__proto__",
  "constructor",
  "a".repeat(65),
  "a".repeat(5_000),
  "\r\nX-Injected: 1",
  "2026-02-30",
  "0000-00-00T00:00:00Z",
  "9999-12-31T23:59:59.999Z",
  "+275760-09-13T00:00:00.000Z",
];
const HOSTILE_NUMBERS = [
  0,
  -0,
  -1,
  1,
  0.1,
  0.001,
  1e-7,
  1.005,
  1e21,
  1e308,
  2 ** 31,
  2 ** 53,
  -(2 ** 63),
  1_000_000,
];

export const hostileText = fc.constantFrom(...HOSTILE_TEXTS);
const deep = fc.integer({ min: 50, max: 400 }).map((depth) => {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { a: value };
  return value;
});

/** Anything at all that JSON can say. */
export const hostile: fc.Arbitrary<unknown> = fc.oneof(
  hostileText,
  fc.constantFrom<unknown>(...HOSTILE_NUMBERS, true, false, null),
  fc.string({ unit: "grapheme", maxLength: 40 }),
  fc.jsonValue({ maxDepth: 3 }),
  deep,
);

/** Values that fit the schema. */
export function valid(schema: Schema): fc.Arbitrary<unknown> {
  const { examples = [], ...rest } = schema;
  // Some of what is valid no schema can say.
  if (examples.length > 0) return fc.oneof(fc.constantFrom(...examples), valid(rest));
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  if (rest.anyOf !== undefined) {
    const { anyOf, ...common } = rest;
    return fc.oneof(...anyOf.map((one) => valid({ ...common, ...one })));
  }
  return fc.oneof(...[schema.type ?? "string"].flat().map((type) => validOf(type, schema)));
}

function validOf(type: string, schema: Schema): fc.Arbitrary<unknown> {
  switch (type) {
    case "null":
      return fc.constant(null);
    case "boolean":
      return fc.boolean();
    case "integer":
      return fc.integer({ min: schema.minimum ?? 0, max: schema.maximum ?? 1_000 });
    case "number":
      return cents(schema);
    case "array":
      return fc.array(valid(schema.items ?? {}), { maxLength: Math.min(schema.maxItems ?? 4, 4) });
    case "object":
      return objectOf(schema, valid);
    default:
      return textOf(schema);
  }
}

function cents({ minimum = 0.5, maximum = 999_999.99 }: Schema): fc.Arbitrary<number> {
  return fc.integer({ min: Math.ceil(minimum * 100), max: Math.floor(maximum * 100) }).map((n) => n / 100);
}

function textOf({ format, pattern, minLength = 0, maxLength = 60 }: Schema): fc.Arbitrary<string> {
  if (format === "date-time")
    return fc
      .date({ noInvalidDate: true, min: new Date("2027-01-01"), max: new Date("2040-01-01") })
      .map((date) => date.toISOString());
  if (format === "date") return fc.constantFrom("2027-01-31", "2028-02-29");
  if (format === "email") return fc.constantFrom("maria@example.com", "a.b+c@example.org");
  if (format === "uri") return fc.webUrl();
  if (format === "uuid") return fc.uuid();
  if (pattern !== undefined)
    return fc.stringMatching(new RegExp(pattern)).filter((text) => text.length <= maxLength);
  return fc.string({
    unit: "grapheme-ascii",
    minLength,
    maxLength: Math.max(minLength, Math.min(maxLength, 60)),
  });
}

function objectOf(
  schema: Schema,
  value: (property: Schema) => fc.Arbitrary<unknown>,
): fc.Arbitrary<Record<string, unknown>> {
  const properties = Object.entries(schema.properties ?? {}).map(([name, property]) => [
    name,
    value(property),
  ]);
  const requiredKeys = (schema.required ?? []).filter((name) => schema.properties?.[name] !== undefined);
  return fc.record(Object.fromEntries(properties), { requiredKeys });
}

/** Values that nearly fit: just out of a bound, of another type, a key too many or too few. */
export function near(schema: Schema): fc.Arbitrary<unknown> {
  const options: fc.Arbitrary<unknown>[] = [valid(schema), hostile];
  const { minimum, maximum, minLength = 0, maxLength, enum: values } = schema;
  if (minimum !== undefined)
    options.push(fc.constantFrom(minimum, minimum - 1, minimum - 0.01, minimum + 0.001));
  if (maximum !== undefined) options.push(fc.constantFrom(maximum, maximum + 1, maximum + 0.01));
  if (maxLength !== undefined)
    options.push(fc.constantFrom("x".repeat(maxLength), "x".repeat(maxLength + 1)));
  if (minLength > 0) options.push(fc.constant("x".repeat(minLength - 1)));
  if (values !== undefined)
    options.push(fc.constantFrom(...values.map((value) => String(value).toUpperCase())), fc.constant(values));
  if (schema.properties !== undefined) {
    options.push(
      objectOf(schema, near),
      objectOf({ ...schema, required: [] }, valid),
      fc
        .tuple(objectOf(schema, valid), fc.dictionary(hostileText, hostile, { maxKeys: 2 }))
        .map(([body, more]) => ({ ...body, ...more })),
      fc
        .tuple(objectOf(schema, valid), fc.constantFrom(...Object.keys(schema.properties), "x"), hostile)
        .map(([body, key, value]) => ({ ...body, [key]: value })),
    );
  }
  if (schema.items !== undefined) options.push(fc.array(near(schema.items), { maxLength: 40 }));
  return fc.oneof(...options);
}
