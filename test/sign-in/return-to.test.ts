import { expect, test } from "vitest";
import { safeReturnTo } from "../../src/sign-in/return-rules.ts";
import { createFixture } from "../support/fixtures.ts";
import { createHuman, hiddenValue, open, PASSWORD, submit } from "../support/humans.ts";
import { startService } from "../support/service.ts";

const { app } = await startService();

test.each([
  ["/approvals/01a20756", "/approvals/01a20756"],
  ["/billing?tab=cards&x=%2F%2Fevil", "/billing?tab=cards&x=%2F%2Fevil"],
  ["/invite?token=ot_inv_x", "/invite?token=ot_inv_x"],
  ["/a/../settings/./security", "/settings/security"],
  ["/", "/"],
])("the return address %s is on this origin and leads to %s", (wanted, expected) => {
  expect(safeReturnTo(wanted)).toBe(expected);
});

test.each([
  "",
  "approvals",
  "//evil.example",
  "///evil.example",
  "/\\evil.example",
  "\\\\evil.example",
  "/\t/evil.example",
  "/\n/evil.example",
  " //evil.example",
  "/.//evil.example",
  "/..//evil.example",
  "/a/..//evil.example",
  "/%2e//evil.example",
  "/%2f/evil.example",
  "/%2F%2Fevil.example",
  "/%5cevil.example",
  "/%5C%5Cevil.example",
  "/%09/evil.example",
  "/%252f%252fevil.example",
  "https://evil.example",
  "http://localhost:3000/approvals",
  "https:evil.example",
  "javascript:alert(1)",
  "data:text/html,x",
  "@evil.example",
  "/ä",
  "/sign-in",
  "/sign-in?return_to=/billing",
  "/sign-out",
])("the return address %j is not on this origin and leads to the inbox", (wanted) => {
  expect(safeReturnTo(wanted)).toBe("/approvals");
});

test("sign-in returns to the requested page and never to another origin", async () => {
  const { account } = await createFixture(app);
  const { email } = await createHuman(app, account);
  const asked = await open(app, "/settings/security?said=x");
  expect(asked.status).toBe(303);
  const page = await open(app, String(asked.headers.location));
  const returnTo = hiddenValue(page, "/sign-in", "return_to");
  const back = await submit(app, "/sign-in", { email, password: PASSWORD, return_to: returnTo });
  expect(back.headers.location).toBe("/settings/security?said=x");
  const evil = await submit(app, "/sign-in", { email, password: PASSWORD, return_to: "//evil.example" });
  expect(evil.headers.location).toBe("/approvals");
  const twice = await open(app, "/sign-in?return_to=/billing&return_to=//evil.example");
  expect(hiddenValue(twice, "/sign-in", "return_to")).toBe("/approvals");
});
