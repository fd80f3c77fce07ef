import { sql } from "kysely";
import Stripe from "stripe";
import { expect } from "vitest";
import { accountKey, newId } from "../../src/lib/ids.ts";
import { formToken } from "../../src/sign-in/form-token.ts";
import { deriveKeys } from "../../src/sign-in/session-keys.ts";
import { claim, createAgent, startClaim } from "../support/agents.ts";
import { Authenticator } from "../support/authenticator.ts";
import { PAYOUT_ACCOUNT, setPayoutAccount } from "../support/escrow.ts";
import { createFixture, type Fixture, fund, operate } from "../support/fixtures.ts";
import {
  createHuman,
  type HumanFixture,
  hiddenValue,
  invite,
  newEmail,
  open,
  PASSWORD,
  signIn,
  submit,
} from "../support/humans.ts";
import { givePasskey, PASSKEYS, SECURITY, userIdOf } from "../support/passkeys.ts";
import { PUBLIC_URL, type TestService } from "../support/service.ts";
import type { FakeStripe } from "../support/stripe/fake.ts";
import { payPage, rowOf } from "../support/top-ups.ts";
import { createDelivery, FEATURES, subscribe } from "../support/webhooks.ts";

/** A person who acts: one of two owners of an account, with a fresh sign-in. */
export type Scene = Fixture &
  HumanFixture &
  TestService & {
    accountId: string;
    userId: string;
    sessionId: string;
    role: string;
    /** The token of one of their forms. */
    tokenOf(purpose: string): string;
  };

/** A form that changes something. */
export type Acting = {
  path: string;
  fields: Record<string, string>;
  /** Whether it needs a membership, not only a session. */
  ofMember?: boolean;
  /** Whether viewers may send it. */
  viewersToo?: boolean;
  /** Whether it writes nothing here, as it only gets options for a passkey or calls the processor. */
  asks?: boolean;
  /** Whether it answers any caller, with a page or a challenge that is of no use to them. */
  answersAll?: boolean;
  /** The sender, if not the person of the scene. */
  by?: Pick<Scene, "cookie" | "sessionId" | "memberId" | "role">;
};

type Entry = (scene: Scene) => Promise<Acting> | Acting;

export async function beginActing(service: TestService, paymentMethod = "pm_card_visa"): Promise<Scene> {
  const { app, db } = service;
  const fixture = await createFixture(app, { card: false, features: FEATURES });
  await operate(app, "POST", `/accounts/${fixture.account}/payment-methods`, { paymentMethod });
  const human = await createHuman(app, fixture.account);
  const accountId = accountKey(fixture.account);
  await addOwner(service, accountId);
  const userId = await userIdOf(db, human.email);
  return {
    ...service,
    ...fixture,
    ...human,
    accountId,
    userId,
    role: "owner",
    ...(await sessionOf(service, userId)),
  };
}

/** Adds a second owner, as the last owner cannot be removed. */
async function addOwner({ db }: TestService, accountId: string): Promise<void> {
  await sql`insert into members (account_id, id, email, name, role, status, user_id, created_at, updated_at)
    values (${accountId}, ${newId()}, ${newEmail()}, 'Bob Owner', 'owner', 'active', ${newId()}, now(), now())`.execute(
    db,
  );
}

async function sessionOf({ db, config }: TestService, userId: string) {
  const { id: sessionId } = await db
    .selectFrom("auth.sessions")
    .where("user_id", "=", userId)
    .select("id")
    .orderBy("started_at", "desc")
    .executeTakeFirstOrThrow();
  const keys = deriveKeys(config.sessionSecrets);
  return { sessionId, tokenOf: (purpose: string) => formToken(keys, { sessionId }, purpose) };
}

/** A form with the token for that purpose. */
function form(
  scene: Scene,
  path: string,
  purpose: string,
  fields: Record<string, string> = {},
  how: Omit<Acting, "path" | "fields"> = {},
): Acting {
  return { path, fields: { form_token: scene.tokenOf(purpose), ...fields }, ...how };
}

const OWN = { ofMember: false };
const ASKING = { asks: true, answersAll: true };

/** Gets the options for a passkey to sign another form's change. */
async function signing(scene: Scene, change: string): Promise<Acting> {
  const acting = await ENTRIES[change]?.(scene);
  if (acting === undefined) throw new TypeError(`${change} is not listed`);
  await givePasskey(scene.db, scene.userId);
  return { ...acting, path: `${acting.path}/sign`, ...ASKING };
}

/** The form that opens the page on which a top-up of theirs is paid. */
async function topUpForm(scene: Scene): Promise<Acting> {
  const { accountId } = scene;
  const making = form(scene, "/billing/top-ups", `billing:top-up:${accountId}`, {
    accountId,
    amountUsd: "250",
  });
  const { headers } = await submit(scene.app, making.path, making.fields, scene);
  const id = String(headers.location).split("/").at(-1) ?? "";
  return form(scene, `/top-ups/${id}/checkout`, `top-up:pay:${id}`);
}

async function approvalOf({ app, token, milestone }: Scene): Promise<string> {
  return `/approvals/${(await fund(app, token, milestone)).body.approval.id}`;
}

async function decision(scene: Scene, which: "confirm" | "decline"): Promise<Acting> {
  const path = await approvalOf(scene);
  const page = await open(scene.app, path, scene);
  const names = ["nonce", "digest", "form_token"];
  const fields = Object.fromEntries(names.map((name) => [name, hiddenValue(page, `${path}/${which}`, name)]));
  return { path: `${path}/${which}`, fields };
}

/** A payment that requires bank verification. */
async function beginAtBank(scene: Scene): Promise<{ path: string; intentId: string }> {
  const { app, db, account, accountId } = scene;
  const paymentMethod = "pm_card_authenticationRequired";
  await operate(app, "POST", `/accounts/${account}/payment-methods`, { paymentMethod });
  const { path, fields } = await decision(scene, "confirm");
  expect((await submit(app, path, fields, scene)).status).toBe(303);
  const { intent_id: intentId } = await db
    .selectFrom("payments")
    .where("account_id", "=", accountId)
    .select("intent_id")
    .executeTakeFirstOrThrow();
  return { path: path.replace("/confirm", ""), intentId: intentId ?? "" };
}

/** A member whose passkey needs an owner's consent. */
async function waitingPasskey({ app, db, account }: Scene, opensIn: string | null): Promise<string> {
  const member = await createHuman(app, account, "viewer");
  const { credentialId } = await givePasskey(db, await userIdOf(db, member.email));
  const { rows } = await sql<{ id: string }>`
    update auth.passkeys set active_from = now() + ${opensIn}::interval where credential_id = ${credentialId}
    returning id`.execute(db);
  return rows[0]?.id ?? "";
}

async function consent(scene: Scene, path: string, purpose: string, opensIn: string | null): Promise<Acting> {
  const passkey_id = await waitingPasskey(scene, opensIn);
  const { accountId: account_id } = scene;
  return form(scene, path, `${purpose}:${account_id}:${passkey_id}`, { account_id, passkey_id });
}

async function ownPasskey({ db, userId }: Scene): Promise<string> {
  await givePasskey(db, userId);
  const row = db.selectFrom("auth.passkeys").where("user_id", "=", userId).select("id");
  return (await row.executeTakeFirstOrThrow()).id;
}

/** Each route on which people change something, with a form that does. */
export const ENTRIES: Record<string, Entry> = {
  "/approvals/:approvalId/challenge": async (scene) => {
    await givePasskey(scene.db, scene.userId);
    const { path, fields } = await decision(scene, "confirm");
    return { path: path.replace("/confirm", "/challenge"), fields };
  },
  "/approvals/:approvalId/confirm": (scene) => decision(scene, "confirm"),
  "/approvals/:approvalId/decline": (scene) => decision(scene, "decline"),
  "/approvals/:approvalId/cancel-payment": async (scene) => {
    const { path } = await beginAtBank(scene);
    return form(scene, `${path}/cancel-payment`, `cancel-payment:${path.split("/").at(-1)}`);
  },
  "/approvals/:approvalId/look": async (scene) => {
    const { path } = await beginAtBank(scene);
    return form(scene, `${path}/look`, `look:${path.split("/").at(-1)}`, {}, { viewersToo: true });
  },
  "/billing/add-card": (scene) => {
    const { accountId } = scene;
    return form(scene, "/billing/add-card", `billing:${accountId}`, {
      accountId,
      number: "4242424242424242",
    });
  },
  "/billing/remove-card": async (scene) => {
    const { app, account, accountId } = scene;
    const { paymentMethods } = await operate(app, "GET", `/accounts/${account}/payment-methods`);
    const fields = { accountId, cardId: paymentMethods[0].id };
    return form(scene, "/billing/remove-card", `billing:${accountId}`, fields);
  },
  "/billing/top-ups": (scene) => {
    const { accountId } = scene;
    return form(scene, "/billing/top-ups", `billing:top-up:${accountId}`, { accountId, amountUsd: "250" });
  },
  "/top-ups/:topUpId/checkout": async (scene) => topUpForm(scene),
  "/top-ups/:topUpId/look": async (scene) => {
    const { path, fields } = await topUpForm(scene);
    await submit(scene.app, path, fields, scene);
    const id = path.split("/").at(-2) ?? "";
    const { sessionId } = await rowOf(scene.db, { accountId: scene.accountId, id });
    await payPage(scene.db, undefined, sessionId ?? "");
    return form(scene, `/top-ups/${id}/look`, `top-up:look:${id}`, {}, { viewersToo: true });
  },
  "/sandbox/checkout/:sessionId": async (scene) => {
    const { path, fields } = await topUpForm(scene);
    await submit(scene.app, path, fields, scene);
    const { id } = await scene.db
      .selectFrom("sandbox.checkout_sessions")
      .where("account_id", "=", scene.accountId)
      .select("id")
      .executeTakeFirstOrThrow();
    return form(scene, `/sandbox/checkout/${id}`, `sandbox-checkout:${id}`, { number: "4242424242424242" });
  },
  "/contracts/:contractId/milestones/:milestoneId/fund": (scene) => {
    const { contract, milestone, accountId: account_id } = scene;
    const path = `/contracts/${contract}/milestones/${milestone}/fund`;
    return form(scene, path, `contract:fund:${account_id}:${milestone}`, { account_id });
  },
  "/contracts/:contractId/milestones/:milestoneId/release": async (scene) => {
    const { app, contract, milestone, accountId: account_id } = scene;
    await setPayoutAccount(app, scene, PAYOUT_ACCOUNT);
    const funding = await decision(scene, "confirm");
    expect((await submit(app, funding.path, funding.fields, scene)).status).toBe(303);
    const path = `/contracts/${contract}/milestones/${milestone}/release`;
    return form(scene, path, `contract:release:${account_id}:${milestone}`, { account_id });
  },
  "/contracts/:contractId/end": (scene) => {
    const { contract, accountId: account_id } = scene;
    return form(scene, `/contracts/${contract}/end`, `contract:end:${account_id}:${contract}`, {
      account_id,
    });
  },
  "/sandbox/authenticate/:intentId": async (scene) => {
    const { intentId } = await beginAtBank(scene);
    return form(scene, `/sandbox/authenticate/${intentId}`, `sandbox:${intentId}`, { answer: "pass" });
  },
  "/claim": async (scene) => {
    const { link, code, agent } = await startClaim(scene, await createAgent(scene.app), scene.email);
    const fields = { token: link, code };
    return form(scene, "/claim", `claim:${agent.accountId}`, fields, { ...OWN, answersAll: true });
  },
  "/invite": async (scene) => {
    const { app, db, email } = scene;
    const { account } = await createFixture(app);
    const { token } = await invite(app, account, "owner", email);
    const row = db.selectFrom("invitations").where("account_id", "=", accountKey(account)).select("id");
    const { id } = await row.executeTakeFirstOrThrow();
    return form(scene, "/invite", `invite:${id}`, { token }, { ...OWN, answersAll: true });
  },
  "/sign-out": (scene) => form(scene, "/sign-out", "sign-out", {}, OWN),
  "/settings/keys/make": (scene) => {
    const { accountId: account_id } = scene;
    const token_id = newId();
    const fields = { account_id, token_id, name: "A key", scopes: "payments:read", lifetime: "30" };
    return form(scene, "/settings/keys/make", `keys:make:${account_id}:${token_id}`, fields);
  },
  "/settings/keys/:tokenId/revoke": async (scene) => {
    const row = scene.db.selectFrom("tokens").where("account_id", "=", scene.accountId).select("id");
    const { id } = await row.executeTakeFirstOrThrow();
    return form(scene, `/settings/keys/${id}/revoke`, `keys:revoke:${id}`);
  },
  "/settings/keys/waiting/:accountId/refuse": async (scene) => {
    const { app, db } = scene;
    const started = await startClaim(scene, await createAgent(app));
    const cookie = await claim(app, started);
    const { accountId } = started.agent;
    const { id: memberId } = await db
      .selectFrom("members")
      .where("account_id", "=", accountId)
      .select("id")
      .executeTakeFirstOrThrow();
    await addOwner(scene, accountId);
    const session = await sessionOf(scene, await userIdOf(db, started.email));
    const by = { cookie, memberId, role: "owner", ...session };
    const path = `/settings/keys/waiting/${accountId}/refuse`;
    return form({ ...scene, ...session }, path, `keys:refuse:${accountId}`, {}, { by });
  },
  "/settings/members/invite/sign": (scene) => signing(scene, "/settings/members/invite"),
  "/settings/members/invite": (scene) => {
    const { accountId: account_id } = scene;
    const fields = { account_id, email: newEmail(), name: "Cleo", role: "viewer" };
    return form(scene, "/settings/members/invite", `members:invite:${account_id}`, fields);
  },
  "/settings/members/:memberId/role/sign": (scene) => signing(scene, "/settings/members/:memberId/role"),
  "/settings/members/:memberId/role": async (scene) => {
    const { memberId } = await createHuman(scene.app, scene.account, "viewer");
    const row = scene.db.selectFrom("members").where("id", "=", memberId).select("updated_at");
    const shown = (await row.executeTakeFirstOrThrow()).updated_at.toISOString();
    const fields = { role: "approver", shown };
    return form(scene, `/settings/members/${memberId}/role`, `members:role:${memberId}:${shown}`, fields);
  },
  "/settings/members/:memberId/remove/sign": (scene) => signing(scene, "/settings/members/:memberId/remove"),
  "/settings/members/:memberId/remove": async (scene) => {
    const { memberId } = await createHuman(scene.app, scene.account, "viewer");
    return form(scene, `/settings/members/${memberId}/remove`, `members:remove:${memberId}`);
  },
  "/settings/members/upgrades/:accountId/:upgradeId/sign": (scene) =>
    signing(scene, "/settings/members/upgrades/:accountId/:upgradeId"),
  "/settings/members/upgrades/:accountId/:upgradeId": async (scene) => {
    const { app, db, account, accountId } = scene;
    const { memberId } = await createHuman(app, account, "viewer");
    await operate(app, "PATCH", `/accounts/${account}/members/${memberId}`, { role: "approver" });
    const row = db.selectFrom("member_upgrades").where("member_id", "=", memberId).select("id");
    const { id } = await row.executeTakeFirstOrThrow();
    const path = `/settings/members/upgrades/${accountId}/${id}`;
    return form(scene, path, `members:upgrade:${id}`, { decision: "consent" });
  },
  "/settings/changes/:accountId/:changeId/sign": (scene) =>
    signing(scene, "/settings/changes/:accountId/:changeId"),
  "/settings/changes/:accountId/:changeId": async (scene) => {
    const { app, db, account, accountId } = scene;
    const { memberId } = await createHuman(app, account, "viewer");
    const other = db.selectFrom("members").where("account_id", "=", accountId).where("role", "=", "owner");
    const owners = await other.select("user_id as userId").execute();
    const { userId: askedBy } = owners.find(({ userId }) => userId !== scene.userId) ?? {};
    const member = await db
      .selectFrom("members")
      .where("id", "=", memberId)
      .selectAll()
      .executeTakeFirstOrThrow();
    const id = newId();
    const request = { kind: "role", memberId, role: "approver", shown: member.updated_at.toISOString() };
    const terms = {
      subject: { kind: "member", id: memberId },
      from: { role: "viewer" },
      to: { role: "approver" },
    };
    await sql`
      insert into pending_changes (account_id, id, action, subject, terms, request, asked_by, asked_at, expires_at)
      values (${accountId}, ${id}, 'member', ${memberId}, ${JSON.stringify(terms)}, ${JSON.stringify(request)}, ${askedBy},
        now(), now() + interval '1 day')`.execute(db);
    const path = `/settings/changes/${accountId}/${id}`;
    return form(scene, path, `change:${id}`, { decision: "agree" });
  },
  "/settings/policy/sign": (scene) => signing(scene, "/settings/policy"),
  "/settings/policy": async (scene) => {
    const path = "/settings/policy";
    const page = await open(scene.app, path, scene);
    const names = ["account_id", "shown", "form_token"];
    const fields = Object.fromEntries(names.map((name) => [name, hiddenValue(page, path, name)]));
    const asked = { co_sign: "session", typed_from: "500", second_from: "", billing: "card" };
    return { path, fields: { ...fields, ...asked } };
  },
  "/settings/security/password": (scene) => {
    const fields = { current: PASSWORD, next: "another long password" };
    return form(scene, `${SECURITY}/password`, "security:password", fields, OWN);
  },
  "/settings/security/sessions": async (scene) => {
    await signIn(scene.app, scene.email);
    return form(scene, `${SECURITY}/sessions`, "security:sessions", {}, OWN);
  },
  "/settings/security/consent/sign": (scene) => signing(scene, "/settings/security/consent"),
  "/settings/security/consent": async (scene) => {
    const { app, db, account, accountId: account_id } = scene;
    const { memberId } = await invite(app, account, "approver");
    const row = db.selectFrom("invitations").where("member_id", "=", memberId).select("id");
    const { id: invitation_id } = await row.executeTakeFirstOrThrow();
    const fields = { account_id, invitation_id, role: "approver", decision: "consent" };
    return form(scene, `${SECURITY}/consent`, `security:consent:${invitation_id}:approver`, fields);
  },
  "/settings/security/passkeys/options": (scene) =>
    form(scene, `${PASSKEYS}/options`, "passkeys:add", {}, { ...OWN, ...ASKING }),
  "/settings/security/passkeys/sign": (scene) => signing(scene, "/settings/security/passkeys"),
  "/settings/security/passkeys": async (scene) => {
    const asking = form(scene, `${PASSKEYS}/options`, "passkeys:add");
    const { body } = await submit(scene.app, asking.path, asking.fields, scene);
    const credential = JSON.stringify(new Authenticator().register(body.challenge));
    return form(scene, PASSKEYS, "passkeys:add", { credential }, OWN);
  },
  "/settings/security/passkeys/:passkeyId/name": async (scene) => {
    const id = await ownPasskey(scene);
    return form(scene, `${PASSKEYS}/${id}/name`, `passkeys:rename:${id}`, { name: "Another" }, OWN);
  },
  "/settings/security/passkeys/:passkeyId/remove": async (scene) => {
    const id = await ownPasskey(scene);
    return form(scene, `${PASSKEYS}/${id}/remove`, `passkeys:remove:${id}`, {}, OWN);
  },
  "/settings/security/presence/options": (scene) =>
    form(scene, `${SECURITY}/presence/options`, "passkeys:presence", {}, { ...OWN, ...ASKING }),
  "/settings/security/presence": async (scene) => {
    const passkey = await givePasskey(scene.db, scene.userId);
    const asking = form(scene, `${SECURITY}/presence/options`, "passkeys:presence");
    const { body } = await submit(scene.app, asking.path, asking.fields, scene);
    const credential = JSON.stringify(passkey.assert(body.challenge));
    return form(scene, `${SECURITY}/presence`, "passkeys:presence", { credential }, OWN);
  },
  "/settings/security/passkey-consents/options": async (scene) => ({
    ...(await consent(scene, `${SECURITY}/passkey-consents/options`, "passkeys:agree", null)),
    ...ASKING,
  }),
  "/settings/security/passkey-consents": (scene) =>
    consent(scene, `${SECURITY}/passkey-consents`, "passkeys:agree", null),
  "/settings/security/passkey-consents/stop": (scene) =>
    consent(scene, `${SECURITY}/passkey-consents/stop`, "passkeys:stop", "24 hours"),
  "/settings/webhooks/add": (scene) => {
    const { accountId: account_id } = scene;
    const webhook_id = newId();
    const purpose = `webhooks:add:${account_id}:${webhook_id}`;
    const fields = {
      account_id,
      webhook_id,
      url: "https://hooks.example.com/",
      event_types: "message.received",
    };
    return form(scene, "/settings/webhooks/add", purpose, fields);
  },
  "/settings/webhooks/:webhookId/rotate-secret": async (scene) => {
    const { id } = await subscribe(scene.app, scene.token, "https://hooks.example.com/");
    return form(scene, `/settings/webhooks/${id}/rotate-secret`, `webhooks:rotate:${id}:`, { shown: "" });
  },
  "/settings/webhooks/:webhookId/redeliver": async (scene) => {
    const { webhookId, deliveryId } = await createDelivery(scene.app, scene);
    const fields = { delivery_id: deliveryId };
    return form(
      scene,
      `/settings/webhooks/${webhookId}/redeliver`,
      `webhooks:redeliver:${webhookId}`,
      fields,
    );
  },
  "/settings/webhooks/:webhookId/delete": async (scene) => {
    const { id } = await subscribe(scene.app, scene.token, "https://hooks.example.com/");
    return form(scene, `/settings/webhooks/${id}/delete`, `webhooks:delete:${id}`);
  },
};

/** Routes that exist only with Stripe. */
export function cardFormEntries({ stripe }: { stripe: FakeStripe }): Record<string, Entry> {
  const client = new Stripe(stripe.secretKey, stripe.at);
  const begin = (scene: Scene): Acting => {
    const { accountId } = scene;
    return form(scene, "/billing/new-card", `billing:${accountId}`, { accountId });
  };
  return {
    "/billing/new-card": (scene) => ({ ...begin(scene), asks: true }),
    "/billing/cards/:setupId": async (scene) => {
      const { path, fields } = begin(scene);
      const { headers } = await submit(scene.app, path, fields, scene);
      const setupId = String(headers.location).split("/").at(-1) ?? "";
      const given = { payment_method: "pm_card_visa", return_url: PUBLIC_URL };
      await client.setupIntents.confirm(setupId, given);
      return form(scene, `/billing/cards/${setupId}`, `keep-card:${setupId}`);
    },
  };
}
