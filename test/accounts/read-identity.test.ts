import { describe, expect, test } from "vitest";
import { accountKey, newId } from "../../src/lib/ids.ts";
import { call, createFixture, type Fixture, operate } from "../support/fixtures.ts";
import { startService } from "../support/service.ts";

const { app, db, tokenUses } = await startService();

const api = (token: string, path: string) => call(app, "GET", `/api/public/v1${path}`, { token });

/** Makes a person a member who has accepted, as the pages will. */
async function addMember(
  { account }: Fixture,
  person: { name: string; role: "owner" | "approver" },
  at: number,
) {
  const values = {
    account_id: accountKey(account),
    id: newId(),
    email: `${newId()}@example.com`,
    user_id: `user-${newId()}`,
    status: "active" as const,
    created_at: new Date(at),
    updated_at: new Date(at),
    ...person,
  };
  await db.insertInto("members").values(values).execute();
  return values;
}

describe("GET /auth/me", () => {
  test("names the token and its account, and no owner while the account is unclaimed", async () => {
    const fixture = await createFixture(app, { claimed: false, scopes: ["payments:read", "jobs:read"] });
    const { status, body } = await api(fixture.token, "/auth/me");
    expect(status).toBe(200);
    const { tokens } = await operate(app, "GET", `/accounts/${fixture.account}/tokens`);
    expect(body).toStrictEqual({
      actor: {
        userId: null,
        email: null,
        firstName: null,
        lastName: null,
        fullName: null,
        userType: "EMPLOYER",
      },
      token: {
        id: tokens[0].id,
        label: "Test agent",
        scopes: ["payments:read", "jobs:read"],
        ownerOrganizationId: fixture.account,
      },
      account: {
        kind: "employer_organization",
        organizationId: fixture.account,
        ownerUserId: null,
        memberRole: null,
        claimed: false,
      },
    });
  });

  test("names the owner who came first, and neither an approver nor one who is only invited", async () => {
    const fixture = await createFixture(app);
    await addMember(fixture, { name: "Ann Approver", role: "approver" }, 1);
    await addMember(fixture, { name: "Late Owner", role: "owner" }, 3);
    const owner = await addMember(fixture, { name: "María del Carmen García", role: "owner" }, 2);
    await operate(app, "POST", `/accounts/${fixture.account}/members`, {
      email: "early@example.com",
      name: "Early",
      role: "owner",
    });
    const { body } = await api(fixture.token, "/auth/me");
    expect(body.actor).toStrictEqual({
      userId: owner.user_id,
      email: owner.email,
      firstName: "María",
      lastName: "del Carmen García",
      fullName: "María del Carmen García",
      userType: "EMPLOYER",
    });
    expect(body.account).toMatchObject({ ownerUserId: owner.user_id, memberRole: "OWNER", claimed: true });
  });

  test("takes a name of one word as the first name", async () => {
    const fixture = await createFixture(app);
    await addMember(fixture, { name: "Maria", role: "owner" }, 1);
    const { actor } = (await api(fixture.token, "/auth/me")).body;
    expect([actor.firstName, actor.lastName, actor.fullName]).toEqual(["Maria", null, "Maria"]);
  });

  test("and its sister take any valid token, even one without scopes", async () => {
    const { token } = await createFixture(app, { scopes: [], claimed: false, features: {} });
    for (const path of ["/auth/me", "/capabilities", "/job-drafts/capabilities"]) {
      expect((await api(token, path)).status, path).toBe(200);
    }
  });
});

describe("GET /capabilities", () => {
  test("says what is enabled, with every stored feature, the scopes and the claim", async () => {
    const features = { public_api_payments_write: true, public_api_credits: false, beta_labels: true };
    const { token } = await createFixture(app, { features, scopes: ["payments:read"] });
    const { body } = await api(token, "/capabilities");
    expect(body).toStrictEqual({
      capabilities: { paymentsWrite: true, credits: false, webhooks: false },
      features,
      scopes: ["payments:read"],
      claimed: true,
    });
  });

  test("is answered in the compatible API's form too, with what does not exist here as false", async () => {
    const features = { public_api_payments_write: true, public_api_webhooks: true };
    const { token } = await createFixture(app, { features });
    expect((await api(token, "/job-drafts/capabilities")).body).toStrictEqual({
      featureKey: "public_api_job_drafting",
      namespace: "job-drafts",
      rolloutMode: "ALLOWLIST",
      actorIsAdmin: false,
      capabilities: {
        draftImport: false,
        draftCreate: false,
        draftUpdate: false,
        draftUrlRead: false,
        publish: false,
        hiring: false,
        messagingWrites: false,
        team: false,
        paymentsWrite: true,
        credits: false,
        webhooks: true,
      },
      draft: null,
      authBootstrap: "token",
      enabled: true,
    });
  });

  test("follows the operator at once", async () => {
    const { token, account } = await createFixture(app, { claimed: false, features: {} });
    await operate(app, "PUT", `/accounts/${account}`, {
      claimed: true,
      features: { public_api_webhooks: true, public_api_credits: true },
    });
    expect((await api(token, "/capabilities")).body).toMatchObject({
      capabilities: { paymentsWrite: false, credits: true, webhooks: true },
      claimed: true,
    });
  });
});

describe("when a token was last used", () => {
  test("is written behind the answers, at most once a minute, and only of tokens that were let in", async () => {
    const fixture = await createFixture(app);
    const lastUsed = async () =>
      (await operate(app, "GET", `/accounts/${fixture.account}/tokens`)).tokens[0].lastUsedAt;
    expect(await lastUsed()).toBeNull();
    await api(fixture.token, "/auth/me");
    expect(await lastUsed()).toBeNull();
    await tokenUses.write(db);
    const first = await lastUsed();
    expect(first).toMatch(/^\d{4}-.*Z$/);
    await api(fixture.token, "/auth/me");
    await api(`${fixture.token.slice(0, -1)}_`, "/auth/me");
    await tokenUses.write(db);
    expect(await lastUsed()).toBe(first);
  });
});
