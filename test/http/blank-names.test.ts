import { expect, test } from "vitest";
import { fromNewAddress, MAILING, register } from "../support/agents.ts";
import { call, createFixture, MARIA, operate } from "../support/fixtures.ts";
import { createHuman, newEmail, open } from "../support/humans.ts";
import { OPERATOR_KEY, startService } from "../support/service.ts";
import { expectRefusal } from "./expectations.ts";

const { app } = await startService(MAILING);
const PUBLIC = "/api/public/v1";
const BLANKS = [" ", "\u200b", "\u2060\u3164"];

test.each(BLANKS)("a name of %j is refused wherever one is given, by its field", async (blank) => {
  const { account, contract, token } = await createFixture(app);
  const at = `/api/operator/v1/accounts/${account}`;
  const calls: [string, string, string, Record<string, unknown>, string][] = [
    [token, "POST", `${PUBLIC}/tokens`, { name: blank }, "name"],
    [
      token,
      "POST",
      `${PUBLIC}/contracts/${contract}/milestones`,
      { name: blank, description: "x", amountUsd: 5 },
      "name",
    ],
    [OPERATOR_KEY, "PUT", at, { name: blank }, "name"],
    [OPERATOR_KEY, "POST", `${at}/tokens`, { name: blank, scopes: [] }, "name"],
    [OPERATOR_KEY, "POST", `${at}/members`, { name: blank, email: newEmail(), role: "viewer" }, "name"],
    [OPERATOR_KEY, "PUT", `${at}/contracts/${contract}`, { title: blank }, "title"],
    [
      OPERATOR_KEY,
      "PUT",
      `${at}/contracts/${contract}`,
      { freelancer: { ...MARIA, displayName: blank } },
      "freelancer.displayName",
    ],
    [
      OPERATOR_KEY,
      "PUT",
      `${at}/milestones/m-new`,
      { contractId: contract, name: blank, description: "x", amountUsd: 5 },
      "name",
    ],
  ];
  for (const [key, method, url, body, field] of calls) {
    const answer = await call(app, method as "POST", url, { token: key, body, headers: fromNewAddress() });
    expectRefusal(answer, 400, "BAD_REQUEST", { field });
    expect(answer.body.error).toBe(`\`${field}\` must have a character that can be seen.`);
  }
});

test("an agent that names itself by nothing that can be seen is told so; one without a name is registered", async () => {
  for (const field of ["agent_name", "organization_name"]) {
    const { status, body } = await register(app, { [field]: "\u200b" });
    expect([status, body.error]).toEqual([400, "invalid_request"]);
    expect(body.error_description).toContain(field);
  }
  expect((await register(app, { agent_name: " " })).status).toBe(200);
});

test("what the operator has named does not turn around the pages that it stands on", async () => {
  const { account, contract, token, milestone } = await createFixture(app);
  const turned = "\u202e00.000,1$";
  await operate(app, "PUT", `/accounts/${account}`, { name: turned });
  await operate(app, "PUT", `/accounts/${account}/contracts/${contract}`, {
    freelancer: { ...MARIA, displayName: turned },
  });
  const member = { name: turned, email: newEmail(), role: "owner" };
  const invited = await operate(app, "POST", `/accounts/${account}/members`, member);
  const { body } = await call(app, "POST", `${PUBLIC}/milestones/${milestone}/fund`, { token });
  await call(app, "POST", `${PUBLIC}/tokens`, { token, body: { name: turned } });
  const owner = await createHuman(app, account);
  const later = await operate(app, "POST", `/accounts/${account}/members`, { ...member, email: newEmail() });
  const paths = [
    new URL(invited.inviteUrl).href.slice(new URL(invited.inviteUrl).origin.length),
    `/approvals/${body.approval.id}`,
    "/settings/keys",
    "/settings/members",
    `/settings/members/${later.member.id}`,
    `/settings/members/${later.member.id}/remove`,
    "/settings/security",
  ];
  for (const path of paths) {
    const { status, text } = await open(app, path, owner);
    expect(status, path).toBe(200);
    expect(text, path).toContain("00.000,1$");
    expect(text, path).not.toContain("\u202e");
  }
});
