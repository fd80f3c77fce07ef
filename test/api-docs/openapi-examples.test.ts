import { createPublicKey } from "node:crypto";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { describe, expect, test } from "vitest";
import { CALL_EXAMPLES } from "../../src/api-docs/examples.ts";
import { OPERATOR_EXAMPLES } from "../../src/api-docs/operator-examples.ts";
import { pending } from "../../src/api-docs/story.ts";
import { EXAMPLE_KEYS, receipt } from "../../src/api-docs/story-receipt.ts";
import { describeOpenApi } from "../../src/app/generated-docs.ts";
import { verifyChain, verifyReceipt } from "../../src/receipts/verifier.ts";
import { inlineComponents } from "../support/openapi.ts";

type Media = { schema: object; examples?: Record<string, { value: unknown }> };
type Part = { content: Record<string, Media> };
type Operation = {
  operationId: string;
  parameters?: { name: string; in: string; schema: object; example?: unknown }[];
  requestBody?: Part;
  responses: Record<string, Part>;
};

const described = await describeOpenApi();
const ajv = addFormats.default(new Ajv2020({ strict: true, allErrors: true, validateFormats: true }));
ajv.addVocabulary([...Object.keys(described.agents), "discriminator"]);

/** A call of a document: its id, what the document says of it, and where. */
type Call = [operationId: string, operation: Operation, at: string];
const ofAgents = callsOf("openapi", described.agents);
const ofOperator = callsOf("operator-openapi", described.operator);
const operations = [...ofAgents, ...ofOperator];
const EXAMPLES = { ...CALL_EXAMPLES, ...OPERATOR_EXAMPLES };

function callsOf(name: string, given: object): Call[] {
  const document = inlineComponents(given) as { paths: Record<string, Record<string, Operation>> };
  ajv.addSchema(document, name);
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(
      ([method, operation]): Call => [
        operation.operationId,
        operation,
        pointer(`${name}#`, "paths", path, method),
      ],
    ),
  );
}

function pointer(base: string, ...parts: string[]): string {
  const escaped = parts.map((part) => encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1")));
  return [base, ...escaped].join("/");
}

/** Every body and answer of an operation, with the validator of its own schema in the document. */
function mediaOf({ requestBody, responses }: Operation, at: string): [string, Media, ValidateFunction][] {
  const parts = Object.entries({ ...(requestBody && { requestBody }), ...responses });
  return parts.flatMap(([name, { content }]) =>
    Object.entries(content).map(([type, media]): [string, Media, ValidateFunction] => {
      const part = name === "requestBody" ? pointer(at, name) : pointer(at, "responses", name);
      return [name, media, ajv.compile({ $ref: pointer(part, "content", type, "schema") })];
    }),
  );
}

/** What scanners of repositories take for a leaked secret. */
const SECRETS = [
  /\b(?:ot_[a-z]{3}|whsec|sk|rk|pk)_(?:live_|test_)?[A-Za-z0-9+/=_-]{8,}/,
  /\beyJ[A-Za-z0-9_-]{10,}\./,
  /[A-Za-z0-9+/]{40,}/,
];

/** Their address ends in the id of what they are under, and their answer does not name it. */
const UNDER_A_PARENT = ["createMilestone", "listDeliveries"];

describe("the examples of the OpenAPI documents", () => {
  test.each(operations)("%s has one for its body, for each success and for each refusal", (...call) => {
    const [, operation, at] = call;
    const media = mediaOf(operation, at);
    expect(media.filter(([name]) => name.startsWith("2"))).not.toEqual([]);
    for (const [name, { examples = {} }] of media) expect(Object.keys(examples), name).not.toEqual([]);
    const ids = operation.parameters?.filter((parameter) => parameter.in === "path") ?? [];
    expect(ids.filter(({ example }) => example === undefined)).toEqual([]);
  });

  test.each(operations)("%s: each is valid by its own schema in the document", (...call) => {
    const [, operation, at] = call;
    for (const [part, { examples = {} }, validate] of mediaOf(operation, at))
      for (const [name, { value }] of Object.entries(examples)) {
        validate(value);
        expect(validate.errors ?? [], `${part}, ${name}`).toEqual([]);
      }
    for (const { name, schema, example } of operation.parameters ?? [])
      if (example !== undefined) expect(ajv.validate(schema, example), name).toBe(true);
  });

  test("what is not valid by its schema is seen", () => {
    const [, operation, at] = operations.find(([id]) => id === "getApproval") as (typeof operations)[number];
    const [, , validate] = mediaOf(operation, at)[0] as ReturnType<typeof mediaOf>[number];
    expect(validate({ approval: pending })).toBe(true);
    expect(validate({ approval: { ...pending, expiresAt: "soon" } })).toBe(false);
    expect(validate({ approval: { ...pending, status: "paid" } })).toBe(false);
  });

  test("belong to calls that are there, and to statuses that they answer", () => {
    expect(Object.keys(CALL_EXAMPLES).sort()).toEqual(ofAgents.map(([id]) => id).sort());
    expect(Object.keys(OPERATOR_EXAMPLES).sort()).toEqual(ofOperator.map(([id]) => id).sort());
    for (const [id, { responses, requestBody }] of operations) {
      const { body, answers } = EXAMPLES[id] ?? { answers: {} };
      expect(Object.keys(answers), id).toEqual(
        Object.keys(responses).filter((status) => status.startsWith("2")),
      );
      expect(body === undefined, id).toBe(requestBody === undefined);
    }
  });

  test("tell one story: an id that stands in an address is answered under it", () => {
    for (const [id, { parameters = [] }] of ofAgents) {
      const own = parameters.filter((parameter) => parameter.in === "path").at(-1);
      if (own === undefined || UNDER_A_PARENT.includes(id)) continue;
      for (const examples of Object.values(CALL_EXAMPLES[id]?.answers ?? {}))
        expect(JSON.stringify(examples), id).toContain(`"${own.example}"`);
    }
  });

  test("are true where they could be false: the receipt is a genuine one", async () => {
    const published = createPublicKey(EXAMPLE_KEYS.signing);
    const bytes = Buffer.from(JSON.stringify({ receipt }));
    expect((await verifyReceipt(bytes, [published])).receipt).toEqual(receipt);
    expect(verifyChain([receipt])).toEqual([{ accountId: receipt.accountId, from: 1, to: 1 }]);
  });

  test("hold nothing that looks like a secret", () => {
    const values = operations.flatMap(([, operation, at]) =>
      mediaOf(operation, at).flatMap(([, { examples }]) => Object.values(examples ?? {})),
    );
    // Digests and signatures are public, and long.
    const text = JSON.stringify(values)
      .replaceAll(/"(digest|previousDigest|protected|signature)":"[\w-]+"/g, '"$1":"…"')
      .replaceAll(/"statements":\["[0-9a-f]{64}"\]/g, '"statements":["…"]');
    expect(SECRETS.map((pattern) => pattern.exec(text)?.[0])).toEqual(SECRETS.map(() => undefined));
    const secrets = ["ot_pat_c3f9A1b2C3d4E5f6", `whsec_${Buffer.alloc(24, 7).toString("base64")}`];
    for (const secret of secrets)
      expect(
        SECRETS.some((pattern) => pattern.test(secret)),
        secret,
      ).toBe(true);
  });
});
