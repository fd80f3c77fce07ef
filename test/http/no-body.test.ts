import { describe, expect, test } from "vitest";
import { NoBody } from "../../src/http/body.ts";
import { listRoutes } from "../../src/http/route-list.ts";
import { newId } from "../../src/lib/ids.ts";
import { type Answer, createFixture, type Fixture, operate } from "../support/fixtures.ts";
import { OPERATOR_KEY, startService } from "../support/service.ts";
import { FEATURES } from "../support/webhooks.ts";
import { expectRefusal } from "./expectations.ts";
import { digestRows } from "./rows.ts";

const { app, db } = await startService();

type Payload = string | Buffer | undefined;

async function send(
  method: "POST" | "PUT",
  url: string,
  key: string,
  payload: Payload,
  type?: string,
): Promise<Answer> {
  const headers = {
    authorization: `Bearer ${key}`,
    ...(type === undefined ? {} : { "content-type": type }),
  };
  const response = await app.inject({
    method,
    url,
    headers,
    ...(payload === undefined ? {} : { payload }),
  });
  return {
    status: response.statusCode,
    headers: response.headers,
    body: response.json(),
    text: response.body,
  };
}

const bytes = (...parts: (string | number)[]) =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : Buffer.from([part]))));

const TYPES = [
  undefined,
  "application/json",
  "application/json; charset=utf-16",
  "text/plain",
  "application/x-www-form-urlencoded",
  "multipart/form-data; boundary=x",
  "application/octet-stream",
  "nonsense",
  ";;;",
  "",
];

const ACCEPTED: [string, Payload][] = [
  ["nothing", undefined],
  ["an empty body", ""],
  ["{}", "{}"],
  ["{} with white space around it", " \r\n\t{ } \n"],
  ["1 KiB of white space", " ".repeat(1024)],
  ["a byte order mark and {}", bytes(0xef, 0xbb, 0xbf, "{}")],
];

const NOT_EMPTY: [string, string, Payload][] = [
  ["a field", "amountUsd", '{"amountUsd": 1}'],
  ["a null field", "confirm", '{"confirm": null}'],
  ["the first of several fields", "a", '{"a": 1, "b": 2}'],
  ["a field of no name", "body", '{"": 1}'],
  ["a harmless constructor", "constructor", '{"constructor": 1}'],
  ["half a surrogate pair", "a", '{"a": "\\ud800"}'],
  ["U+0000 in a key", "body", '{"\\u0000": 1}'],
  ["bytes that are no UTF-8 inside a field", "a", bytes('{"a": "', 0xff, '"}')],
  ["null", "body", "null"],
  ["an array", "body", "[]"],
  ["an array of objects", "body", "[{}]"],
  ["text", "body", '"{}"'],
  ["a number", "body", "0"],
  ["true", "body", "true"],
];

const MALFORMED: [string, Payload][] = [
  ["half an object", "{"],
  ["an object and more", "{}{}"],
  ["a form", "a=1"],
  ["single quotes", "{'a': 1}"],
  ["__proto__", '{"__proto__": {"claimed": true}}'],
  ["__proto__ in escapes", '{"\\u005f_proto__": {}}'],
  ["constructor.prototype", '{"constructor": {"prototype": {"claimed": true}}}'],
  ["bytes that are no UTF-8", bytes(0xff, 0xfe, 0xfd)],
  ["bytes that are no UTF-8 before {}", bytes(0xff, "{}")],
  ["gzip", bytes(0x1f, 0x8b, 0x08, 0x00)],
];

/** The calls of which the contract says "no body". */
const CALLS: { name: string; status: number; url: (fixture: Fixture) => string; key?: string }[] = [
  { name: "fund", status: 202, url: ({ milestone }) => `/milestones/${milestone}/fund` },
  {
    name: "cancel",
    status: 200,
    url: ({ account, milestone }) => `/api/operator/v1/accounts/${account}/milestones/${milestone}/cancel`,
    key: OPERATOR_KEY,
  },
];

describe.each(CALLS)("$name takes no body", ({ status, url, key }) => {
  const post = (fixture: Fixture, payload: Payload, type?: string) =>
    send("POST", url(fixture), key ?? fixture.token, payload, type);

  test("nothing, an empty body or {} is accepted under every content type, and none", async () => {
    const fixture = await createFixture(app);
    for (const [name, payload] of ACCEPTED) {
      for (const type of TYPES) {
        const answer = await post(fixture, payload, type);
        expect(answer.status, `${name} as ${type}: ${answer.text}`).toBe(status);
      }
    }
  });

  test("anything else that is JSON is 400, names what offends, and writes nothing", async () => {
    const fixture = await createFixture(app);
    const before = await digestRows(db);
    const fields: [string, unknown][] = [];
    for (const [name, , payload] of NOT_EMPTY) {
      for (const type of ["application/json", "text/plain"]) {
        const answer = await post(fixture, payload, type);
        expectRefusal(answer, 400, "BAD_REQUEST", answer.body.details);
        fields.push([name, answer.body.details]);
      }
    }
    expect(fields).toEqual(
      NOT_EMPTY.flatMap(([name, field]) => [
        [name, { field }],
        [name, { field }],
      ]),
    );
    expect(await digestRows(db)).toEqual(before);
  });

  test("what is not JSON is 400, and writes nothing", async () => {
    const fixture = await createFixture(app);
    const before = await digestRows(db);
    for (const [name, payload] of MALFORMED) {
      for (const type of ["application/json", "application/x-www-form-urlencoded"]) {
        const answer = await post(fixture, payload, type);
        expect(answer.status, `${name} as ${type}`).toBe(400);
        expectRefusal(answer, 400, "BAD_REQUEST");
      }
    }
    expect(await digestRows(db)).toEqual(before);
  });

  test("more than 1 KiB is 413, whatever is in it, and writes nothing", async () => {
    const fixture = await createFixture(app);
    const before = await digestRows(db);
    for (const payload of [" ".repeat(1025), `{"a": "${"x".repeat(2000)}"}`, "[".repeat(60_000)]) {
      expectRefusal(await post(fixture, payload), 413, "BAD_REQUEST");
    }
    expect(await digestRows(db)).toEqual(before);
  });
});

describe("every call of the APIs that takes no body", () => {
  const bodyless = listRoutes(app).filter(
    ({ method, access, body }) =>
      (method === "DELETE" || (method === "POST" && (body === undefined || body === NoBody))) &&
      (access?.by === "token" || access?.by === "operator"),
  );

  test("is answered the same with nothing, whatever content type it names", async () => {
    const { account, token } = await createFixture(app, { features: FEATURES });
    expect(bodyless.map(({ method, url }) => `${method} ${url}`)).toEqual(
      expect.arrayContaining([
        "DELETE /api/operator/v1/accounts/:accountId/payment-methods/:paymentMethodId",
        "DELETE /api/public/v1/tokens/:tokenId",
      ]),
    );
    for (const { method, url, access } of bodyless) {
      const address = url.replace(":accountId", account).replaceAll(/:[A-Za-z]+/g, () => newId());
      const key = access?.by === "operator" ? OPERATOR_KEY : token;
      for (const type of ["application/json", "text/plain"]) {
        const { status } = await send(method as "POST", address, key, undefined, type);
        expect([400, 415], `${method} ${url} as ${type}: ${status}`).not.toContain(status);
      }
    }
  });
});

describe("calls that take a body", () => {
  test("refuse one above 64 KiB with 413, none with 400, another media type with 415, and write nothing", async () => {
    const { account } = await createFixture(app);
    const put = (payload: Payload, type?: string) =>
      send("PUT", `/api/operator/v1/accounts/${account}`, OPERATOR_KEY, payload, type);
    const before = await operate(app, "GET", `/accounts/${account}`);
    const large = JSON.stringify({ name: "x".repeat(65_536) });
    expectRefusal(await put(large, "application/json"), 413, "BAD_REQUEST");
    expectRefusal(await put(undefined), 400, "BAD_REQUEST", { field: "body" });
    expectRefusal(await put("", "application/json"), 400, "BAD_REQUEST");
    expectRefusal(await put("name=New", "application/x-www-form-urlencoded"), 415, "BAD_REQUEST");
    expectRefusal(await put('{"name": "New"}', "nonsense"), 415, "BAD_REQUEST");
    expectRefusal(await put('{"name": "New"}', "text/plain"), 415, "BAD_REQUEST");
    expect(await operate(app, "GET", `/accounts/${account}`)).toEqual(before);
  });
});
