import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { TOOLS } from "../../src/mcp/tools.ts";
import { ERAS } from "../mcp/clients.ts";
import { letRegistrationAge, MAILING, sendForm } from "../support/agents.ts";
import { decide, putCard, type Story } from "../support/approval-scene.ts";
import { operate } from "../support/fixtures.ts";
import { newEmail } from "../support/humans.ts";
import { some } from "../support/long.ts";
import { waitUntil } from "../support/process.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import {
  agentOf,
  type ClientOfProgram,
  completeClaim,
  listen,
  newHome,
  type ProgramOptions,
  readKept,
  type Started,
  startAlone,
  startProgram,
  tokenPath,
} from "./programs.ts";

const service = await startService({ ...MAILING, DEFAULT_FEATURES: "public_api_payments_write" });
const { app, db } = service;
const url = await listen(app);
const FUND = "opentrain_request_milestone_funding";
const PRE_CLAIM = [
  "jobs:read",
  "jobs:write",
  "proposals:read",
  "messages:read",
  "payments:read",
  "team:read",
];

const startNew = (options: Partial<ProgramOptions> = {}) => startAlone({ url, ...options });
const claim = (started: Started, ticked = {}) => completeClaim(service, started, ticked);

/** Gives the account something to fund. */
async function putMilestone(id: string): Promise<string> {
  await operate(app, "PUT", `/accounts/${id}/contracts/c-${id}`, {
    title: "Street scenes",
    jobId: "job-1",
    paymentType: "FIXED_PRICE",
    freelancer: { userId: "f-1", displayName: "Maria G.", country: "Spain", profilePath: "/maria" },
  });
  const terms = { contractId: `c-${id}`, description: "Label 5,000 street scenes", amountUsd: 450 };
  await operate(app, "PUT", `/accounts/${id}/milestones/m-${id}`, terms);
  return `m-${id}`;
}

function expectNoSecrets({ said }: ClientOfProgram, secrets: readonly string[]): void {
  for (const secret of secrets) {
    expect(secret.length).toBeGreaterThan(40);
    expect(said()).not.toContain(secret);
  }
}

describe.each(some(ERAS, 1))("an agent with nothing but the address, %s protocol", (era) => {
  test("registers, is claimed, asks for money, and wakes when a human has confirmed", async () => {
    const program = await startNew({ era });
    const { home, call } = program;
    for (const { name } of TOOLS) {
      const { text, isError } = await call(name, { approvalId: "x", contractId: "x", milestoneId: "x" });
      expect([isError, text], name).toEqual([
        true,
        expect.stringMatching(/^NOT REGISTERED: .*Call opentrain_register_agent first/),
      ]);
    }
    expect((await call("opentrain_claim_status")).text).toMatch(/^NOT REGISTERED/);

    const registered = await call("opentrain_register_agent", { agentName: "Claude Code" });
    expect(registered.text).toMatch(/^REGISTERED:/);
    const first = readKept(home, url);
    expect(first.modes).toEqual(["700", "600"]);
    expect(first.files).toEqual([`${encodeURIComponent(url)}.json`]);
    expect(first.kept).toMatchObject({
      url,
      registrationId: registered.body.registrationId,
      token: expect.stringMatching(/^ot_pat_[\w-]{65}$/),
      scopes: PRE_CLAIM,
      claim: { token: expect.stringMatching(/^ot_clm_/) },
    });
    expect((await call("opentrain_auth_status")).body).toMatchObject({
      token: { label: "Claude Code" },
      account: { organizationId: registered.body.registrationId, claimed: false },
    });
    const milestoneId = await putMilestone(registered.body.registrationId);
    expect((await call(FUND, { milestoneId })).text).toMatch(
      /403 FORBIDDEN, account_claim_required.*http:\/\/localhost:3000\/claim/s,
    );

    const named = await call("opentrain_claim_account", { email: newEmail() });
    expect(named.body).toMatchObject({ status: "waiting", claim: { emailSent: true } });
    const started: Started = named.body.claim;
    for (const needed of [started.email, started.userCode, started.verificationUri])
      expect(named.text).toContain(needed);
    const waiting = call("opentrain_claim_status", { waitSeconds: 30 });
    const cookie = await claim(started, { payments_write: "yes" });
    expect((await call("opentrain_auth_status")).text).toMatch(/^TOKEN ENDED: .*Call opentrain_claim_status/);
    const { text, body } = await waiting;
    expect(text).toMatch(/^CLAIMED: .*payments:write/);
    expect(body).toStrictEqual({
      status: "claimed",
      registrationId: registered.body.registrationId,
      scopes: expect.arrayContaining(["payments:write", "proposals:write"]),
    });
    const second = readKept(home, url);
    expect(second.modes).toEqual(["700", "600"]);
    expect(second.files).toEqual(first.files);
    const { registrationId, scopes } = body;
    expect(second.kept).toStrictEqual({ url, registrationId, token: expect.any(String), scopes });
    expect(second.kept.token).not.toBe(first.kept.token);

    const refused = await call(FUND, { milestoneId });
    expect(refused.text).toMatch(/409 CONFLICT, payment_method_required.*localhost:3000\/billing/s);
    await putCard(app, { account: body.registrationId }, "pm_card_visa");
    const { approval } = (await call(FUND, { milestoneId })).body;
    const held = call("opentrain_wait_for_approval", { approvalId: approval.id, waitSeconds: 30 });
    await waitUntil(() => service.waiters.count === 1, "the call waits");
    const path = `/approvals/${approval.id}`;
    await decide(service, { path, cookie } as Story, "confirm");
    expect((await held).text).toMatch(/^CONFIRMED/);
    expectNoSecrets(program, [first.kept.token, first.kept.claim.token, second.kept.token]);
    expect(program.stderr()).toBe("");
  });

  test("has its human shown the page and the digits, where the client can, and one mail goes out", async () => {
    const shown: string[] = [];
    const program = await startNew({
      era,
      showUrl: async ({ url: page, message }) => {
        shown.push(page, message);
        const code = /\d{6}/.exec(message)?.[0] ?? "";
        await claim({ email, userCode: code, verificationUri: page });
        return "accept";
      },
    });
    const email = newEmail();
    await program.call("opentrain_register_agent");
    const { text, body } = await program.call("opentrain_claim_account", { email });
    expect(shown).toEqual([
      expect.stringMatching(`^${PUBLIC_URL}/claim\\?token=ot_cat_`),
      expect.stringContaining(email),
    ]);
    expect([text.slice(0, 8), body.status]).toEqual(["CLAIMED:", "claimed"]);
    const mails = await db
      .selectFrom("mails")
      .select("id")
      .where("recipient", "=", email)
      .where("subject", "like", "%take on%")
      .execute();
    expect(mails).toHaveLength(1);
    const me = await program.call("opentrain_auth_status");
    expect(me.body.token.label).toBe("test-agent");
  });
});

describe("opentrain_register_agent", () => {
  test("keeps a registration that is good, in another process too", async () => {
    const program = await startNew();
    const { body } = await program.call("opentrain_register_agent");
    const before = readKept(program.home, url);
    const other = await startNew({ home: program.home });
    expect((await other.call("opentrain_register_agent")).body).toEqual(body);
    expect(readKept(program.home, url)).toEqual(before);
  });

  test("by many programs at once makes one registration for all of them, and loses no token", async () => {
    const home = await newHome();
    const programs = await Promise.all(Array.from({ length: 4 }, () => startNew({ home })));
    const answers = await Promise.all(programs.map(({ call }) => call("opentrain_register_agent")));
    const { kept, files } = readKept(home, url);
    expect(new Set(answers.map(({ body }) => body.registrationId))).toEqual(new Set([kept.registrationId]));
    expect(files).toHaveLength(1);
    for (const { call } of programs)
      expect((await call("opentrain_auth_status")).body.account.organizationId).toBe(kept.registrationId);
    // Those of the accounts that came too late.
    const { tokens } = await operate(app, "GET", `/accounts/${kept.registrationId}/tokens`);
    expect(tokens.map(({ status }: { status: string }) => status)).toEqual(["active"]);
  });

  test("keeps one token for each service", async () => {
    const second = await startService(MAILING);
    const home = await newHome();
    const other = await listen(second.app);
    await (await startNew({ home })).call("opentrain_register_agent");
    await (await startProgram({ url: other, home })).call("opentrain_register_agent");
    expect(readKept(home, url).kept.token).not.toBe(readKept(home, other).kept.token);
    expect(readKept(home, url).files).toHaveLength(2);
  });

  test("puts a new token in the place of one that the owner has revoked, and says so; until then it stays", async () => {
    const { home, call } = await startNew();
    await call("opentrain_register_agent");
    const started = (await call("opentrain_claim_account", { email: newEmail() })).body.claim;
    await claim(started);
    expect((await call("opentrain_claim_status")).body.status).toBe("claimed");
    const { kept } = readKept(home, url);
    await sendForm(app, "revoke", { token: kept.token });
    const { text, isError } = await call("opentrain_list_contracts");
    expect([isError, text]).toEqual([
      true,
      expect.stringMatching(/^TOKEN ENDED: .*It is left in .*COUNTERSIGN_TOKEN/),
    ]);
    expect(text).toContain(tokenPath(home, url));
    expect(readKept(home, url).kept).toEqual(kept);
    const again = await call("opentrain_register_agent");
    expect(again.text).toMatch(/had ended; another one, of a new account, is there now\.\nREGISTERED/);
    expect(again.body.registrationId).not.toBe(kept.registrationId);
    expect((await call("opentrain_auth_status")).isError).toBe(false);
  });

  test("does not throw away a claim that was made meanwhile: it fetches its token", async () => {
    const { home, call } = await startNew();
    const { body } = await call("opentrain_register_agent");
    await claim((await call("opentrain_claim_account", { email: newEmail() })).body.claim);
    const again = await call("opentrain_register_agent");
    expect(again.text).toMatch(/^CLAIMED/);
    expect(again.body.registrationId).toBe(body.registrationId);
    expect(readKept(home, url).kept.claim).toBeUndefined();
  });

  test("registers again once the day for a claim is over", async () => {
    const { home, call } = await startNew();
    const { body } = await call("opentrain_register_agent");
    await letRegistrationAge(db, agentOf(home, url), 24.1);
    expect((await call("opentrain_list_contracts")).text).toMatch(
      /^TOKEN ENDED: .*or\s*says that you have to register/s,
    );
    const again = await call("opentrain_register_agent");
    expect(again.text).toMatch(/had ended.*REGISTERED/s);
    expect(again.body.registrationId).not.toBe(body.registrationId);
  });

  test("names the argument that is wrong, and sends nothing", async () => {
    const { home, call } = await startNew();
    for (const [name, args, field] of [
      ["opentrain_register_agent", { force: true }, "force"],
      ["opentrain_register_agent", { agentName: "x".repeat(101) }, "agentName"],
      ["opentrain_claim_account", { email: "nobody" }, "email"],
      ["opentrain_claim_account", {}, "email"],
      ["opentrain_claim_status", { waitSeconds: 31 }, "waitSeconds"],
    ] as const) {
      const { text, isError } = await call(name, args);
      expect([isError, text], name).toEqual([true, expect.stringContaining(`"field":"${field}"`)]);
    }
    expect(existsSync(tokenPath(home, url))).toBe(false);
    const refused = await call("opentrain_register_agent", { agentName: "two\nlines" });
    expect(refused.text).toMatch(/^REFUSED \(invalid_request\): .*one line of plain text/);
  });
});

describe("a token that the human has given", () => {
  test("is the only one, is written nowhere, and is said to have ended when it has", async () => {
    const { call: register, home, close } = await startNew();
    await register("opentrain_register_agent");
    const { kept, files } = readKept(home, url);
    await close();
    const account = `acct-${kept.registrationId.slice(-12)}`;
    await operate(app, "PUT", `/accounts/${account}`, { name: "Acme" });
    const { token } = await operate(app, "POST", `/accounts/${account}/tokens`, {
      name: "Given",
      scopes: [],
    });
    const program = await startNew({ home, token });
    expect((await program.call("opentrain_auth_status")).body.token.label).toBe("Given");
    for (const name of ["opentrain_register_agent", "opentrain_claim_status"])
      expect((await program.call(name)).text).toMatch(/^NOTHING TO DO: .*COUNTERSIGN_TOKEN/);
    await sendForm(app, "revoke", { token });
    expect((await program.call("opentrain_auth_status")).text).toMatch(
      /^TOKEN ENDED: .*comes from COUNTERSIGN_TOKEN.*settings\/keys/s,
    );
    expect(readKept(home, url)).toMatchObject({ kept, files });
    expectNoSecrets(program, [token, kept.token]);
  });
});
