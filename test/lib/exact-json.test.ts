import { expect, test } from "vitest";
import { parseExactJson } from "../../src/lib/exact-json.ts";

const SPELLINGS = [
  "0",
  "-0",
  "0.0",
  "-0.0",
  "1",
  "-1",
  "1.0",
  "1.10",
  "0.1",
  "1e2",
  "1E2",
  "1e+2",
  "1e-7",
  "0.000001",
  "0.0000001",
  "100",
  "123456789012345",
  "1234567890123456",
  "12345678901234567890",
  "9007199254740993",
  "123456789.12345678",
  "0.1234567890123456789",
  "1e400",
  "-1e400",
  "1e-400",
  "1.5e300",
  "1000000000000000000000",
  "0.30000000000000004",
];

test.each(SPELLINGS)("a number that is written %s stays so wherever it stands", (spelling) => {
  const texts = [
    spelling,
    `[${spelling}]`,
    `[1,${spelling}]`,
    `{"a":${spelling},"b":{"c":[${spelling},"${spelling}"]}}`,
  ];
  for (const text of texts) expect(JSON.stringify(parseExactJson(text))).toBe(text);
  expect(JSON.stringify(parseExactJson(`[\n\t${spelling} ]`))).toBe(`[${spelling}]`);
});

test("what JavaScript writes as it is written stays a number, and all else is as JSON.parse reads it", () => {
  const text = '{"a":[1,-2.5,0.1,true,null,"1.0"],"b":{"c":"1e400"}}';
  expect(parseExactJson(text)).toEqual(JSON.parse(text));
  expect(() => parseExactJson("{")).toThrow(SyntaxError);
  expect(() => parseExactJson("[01]")).toThrow(SyntaxError);
});
