import { sql } from "kysely";
import { expect } from "vitest";
import type { Db } from "../../src/database/connection.ts";
import type { App } from "../../src/http/app.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { type Answer, call } from "./fixtures.ts";
import { cookieOf, hiddenValue, newEmail, open, PASSWORD, submit } from "./humans.ts";

/** Without it no one could claim. Nothing listens there, and nothing sends in these tests. */
export const MAILING = { SMTP_URL: "smtp://127.0.0.1:1", TRUST_PROXY: "1" };
export const GRANT_TYPE = "urn:opentrain:agent-auth:grant-type:claim";

let addresses = 0;

/** A header that says that a request comes from an address, and a network, that no other test uses. */
export function fromNewAddress(): Record<string, string> {
  addresses += 1;
  return { "x-forwarded-for": `10.${(addresses >> 8) & 255}.${addresses & 255}.1` };
}

export type Agent = { id: string; accountId: string; token: string; claimToken: string };

/** What a registration answers, whatever it is. */
export function register(app: App, body: unknown = {}, headers = fromNewAddress()): Promise<Answer> {
  return call(app, "POST", "/api/agent/identity", { body, headers });
}

/** An agent that came by itself. */
export async function createAgent(
  app: App,
  body: Record<string, string> = { agent_name: "Claude Code", organization_name: "Acme Research" },
  headers = fromNewAddress(),
): Promise<Agent> {
  const answer = await register(app, body, headers);
  expect(answer.status, answer.text).toBe(200);
  const { registration_id: id, access_token: token, claim_token: claimToken } = answer.body;
  return { id, accountId: accountKey(id), token, claimToken };
}

/** What naming a human answers, whatever it is. */
export function nameHuman(
  app: App,
  claimToken: string,
  email: string,
  headers = fromNewAddress(),
): Promise<Answer> {
  const body = { claim_token: claimToken, email };
  return call(app, "POST", "/api/agent/identity/claim", { body, headers });
}

export type Claim = { agent: Agent; email: string; code: string; page: string; link: string };

/** A claim that waits for its human: what the agent was answered, and the secret of the mail. */
export async function startClaim(
  { app, db }: { app: App; db: Db },
  agent: Agent,
  email = newEmail(),
): Promise<Claim> {
  const { status, text, body } = await nameHuman(app, agent.claimToken, email);
  expect(status, text).toBe(200);
  const page = new URL(body.verification_uri).searchParams.get("token") ?? "";
  return { agent, email, code: body.user_code, page, link: await mailedSecret(db, email) };
}

/** The secret in the newest mail to that address. */
export async function mailedSecret(db: Db, email: string): Promise<string> {
  const { body } = await db
    .selectFrom("mails")
    .where("recipient", "=", email)
    .where("subject", "like", "%take on%")
    .select("body")
    .orderBy("id", "desc")
    .executeTakeFirstOrThrow();
  return /\/claim\?token=(\S+)/.exec(body ?? "")?.[1] ?? "";
}

export type ClaimFields = Record<string, string>;

/** Claims as a new person does; `fields` replace what they typed. */
export function claimAsNewPerson(app: App, { link, code }: Claim, fields: ClaimFields = {}): Promise<Answer> {
  return submit(
    app,
    "/claim",
    { token: link, code, name: "Ada Owner", password: PASSWORD, ...fields },
    { headers: { "sec-fetch-site": "same-origin", ...fromNewAddress() } },
  );
}

/** Claims as a person who is signed in. */
export async function claimSignedIn(
  app: App,
  { link, code }: Claim,
  cookie: string,
  fields: ClaimFields = {},
): Promise<Answer> {
  const page = await open(app, `/claim?token=${link}`, { cookie });
  const form_token = hiddenValue(page, "/claim");
  const headers = { "sec-fetch-site": "same-origin", ...fromNewAddress() };
  return submit(app, "/claim", { token: link, code, form_token, ...fields }, { cookie, headers });
}

/** Claims the account of an agent for a new person. @returns the cookie of their session */
export async function claim(app: App, started: Claim, fields: ClaimFields = {}): Promise<string> {
  const answer = await claimAsNewPerson(app, started, fields);
  expect([answer.status, answer.headers.location], answer.text).toEqual([303, "/claim?said=claimed"]);
  return cookieOf(answer);
}

/** Sends a form to an OAuth endpoint. */
export function sendForm(
  app: App,
  path: "token" | "revoke",
  fields: Record<string, string>,
  headers = fromNewAddress(),
): Promise<Answer> {
  return call(app, "POST", `/api/agent/oauth/${path}`, {
    body: new URLSearchParams(fields).toString(),
    headers: { "content-type": "application/x-www-form-urlencoded", ...headers },
  });
}

export function poll(app: App, { claimToken }: Pick<Agent, "claimToken">): Promise<Answer> {
  return sendForm(app, "token", { grant_type: GRANT_TYPE, claim_token: claimToken });
}

/** As if so many seconds had passed since the agent's last poll. */
export async function letPollAge(db: Db, { accountId }: Agent, seconds: number): Promise<void> {
  await sql`update agent_registrations set polled_at = polled_at - make_interval(secs => ${seconds})
    where account_id = ${accountId}`.execute(db);
}

/** As if the agent had registered, and named its human, so many hours earlier; its token ages with it. */
export async function letRegistrationAge(db: Db, { accountId }: Agent, hours: number): Promise<void> {
  const by = sql`make_interval(secs => ${hours * 3_600})`;
  await sql`update agent_registrations set created_at = created_at - ${by}, expires_at = expires_at - ${by},
    claimed_at = claimed_at - ${by} where account_id = ${accountId}`.execute(db);
  await sql`update claim_attempts set created_at = created_at - ${by}, expires_at = expires_at - ${by}
    where account_id = ${accountId}`.execute(db);
  await sql`update tokens set created_at = created_at - ${by}, expires_at = expires_at - ${by}
    where account_id = ${accountId}`.execute(db);
}

/** As if the claim had been started so many minutes earlier. */
export async function letClaimAge(db: Db, { accountId }: Agent, minutes: number): Promise<void> {
  const by = sql`make_interval(secs => ${minutes * 60})`;
  await sql`update claim_attempts set created_at = created_at - ${by}, expires_at = expires_at - ${by}
    where account_id = ${accountId}`.execute(db);
}

/** The refusal of an OAuth call, in its shape and nothing beside it. */
export function expectOAuthRefusal(answer: Answer, status: number, error: string, says?: RegExp): void {
  expect([answer.status, answer.body?.error], answer.text).toEqual([status, error]);
  expect(answer.body).toStrictEqual({
    error,
    error_description: expect.stringMatching(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/),
  });
  expect(answer.headers["content-type"]).toBe("application/json; charset=utf-8");
  expect(answer.headers["cache-control"]).toBe("no-store");
  if (says !== undefined) expect(answer.body.error_description).toMatch(says);
}
