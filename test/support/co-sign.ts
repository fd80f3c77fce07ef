import { sql } from "kysely";
import { expect } from "vitest";
import type { Db } from "../../src/database/connection.ts";
import type { App } from "../../src/http/app.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { digestRows } from "../http/rows.ts";
import type { Authenticator, Lies } from "./authenticator.ts";
import {
  type Answer,
  call,
  createFixture,
  createMilestone,
  type Fixture,
  fund,
  operate,
} from "./fixtures.ts";
import { createHuman, type HumanFixture, hiddenValue, landing, open, submit } from "./humans.ts";
import { givePasskey, type PasskeyOptions, userIdOf } from "./passkeys.ts";

/** An approval that waits, and a person with a passkey who may decide it. */
export type CoSignStory = Fixture &
  HumanFixture & { approvalId: string; path: string; userId: string; passkey: Authenticator };

export type CoSignOptions = PasskeyOptions & {
  coSign?: "session" | "passkey";
  amountUsd?: number;
  paymentMethod?: string;
};

/** An account whose agent asks for a milestone, and its owner, who has a passkey. */
export async function beginCoSign(
  { app, db }: { app: App; db: Db },
  {
    coSign = "passkey",
    amountUsd = 450,
    paymentMethod = "pm_card_visa",
    ...passkeyOptions
  }: CoSignOptions = {},
): Promise<CoSignStory> {
  const fixture = await createFixture(app, { card: false });
  await operate(app, "PUT", `/accounts/${fixture.account}/milestones/${fixture.milestone}`, { amountUsd });
  await operate(app, "POST", `/accounts/${fixture.account}/payment-methods`, { paymentMethod });
  const human = await createHuman(app, fixture.account);
  const userId = await userIdOf(db, human.email);
  const passkey = await givePasskey(db, userId, passkeyOptions);
  await operate(app, "PUT", `/accounts/${fixture.account}`, { coSign });
  return { ...fixture, ...human, userId, passkey, ...(await askFor(app, fixture, fixture.milestone)) };
}

async function askFor(app: App, { token }: Fixture, milestone: string) {
  const { body } = await fund(app, token, milestone);
  return { approvalId: body.approval.id as string, path: `/approvals/${body.approval.id}` };
}

/** One more approval of the same account. */
export async function anotherApproval(app: App, story: CoSignStory): Promise<CoSignStory> {
  const milestone = `${story.milestone}-2`;
  await createMilestone(app, story, milestone);
  return { ...story, milestone, ...(await askFor(app, story, milestone)) };
}

export type Fields = Record<string, string>;

/** What the page's form would send. */
export async function readForm(app: App, { path, cookie }: CoSignStory): Promise<Fields> {
  const page = await open(app, path, { cookie });
  const form = `${path}/confirm`;
  return {
    nonce: hiddenValue(page, form, "nonce"),
    digest: hiddenValue(page, form, "digest"),
    form_token: hiddenValue(page, form),
  };
}

/** What the page's script asks for on the click. */
export function askChallenge(app: App, { path, cookie }: CoSignStory, fields: Fields): Promise<Answer> {
  return submit(app, `${path}/challenge`, fields, { cookie });
}

/** Opens the page, presses the button, and has the passkey answer. */
export async function signForm(
  app: App,
  story: CoSignStory,
  { lies, passkey = story.passkey, more = {} }: { lies?: Lies; passkey?: Authenticator; more?: Fields } = {},
): Promise<Fields> {
  const fields = { ...(await readForm(app, story)), ...more };
  const asked = await askChallenge(app, story, fields);
  expect(asked.status, asked.text).toBe(200);
  return { ...fields, assertion: JSON.stringify(passkey.assert(asked.body.challenge, lies)) };
}

export function sendForm(app: App, { path, cookie }: CoSignStory, fields: Fields): Promise<Answer> {
  return submit(app, `${path}/confirm`, fields, { cookie });
}

/** The page that the form leads to, when nothing may have come of it. */
export async function landForm(app: App, story: CoSignStory, fields: Fields): Promise<Answer> {
  return landing(app, await sendForm(app, story, fields), story);
}

/** The signatures of an approval, as they are stored. */
export function readSignatures(db: Db, { account, approvalId }: CoSignStory) {
  return db
    .selectFrom("signatures")
    .where("account_id", "=", accountKey(account))
    .where("approval_id", "=", approvalId)
    .selectAll()
    .execute();
}

export async function statusOf(app: App, { token, approvalId }: CoSignStory): Promise<string> {
  return (await call(app, "GET", `/approvals/${approvalId}`, { token })).body.approval.status;
}

export async function chargesOf(app: App, { account }: CoSignStory): Promise<unknown[]> {
  return (await operate(app, "GET", `/sandbox/charges?accountId=${account}`)).charges;
}

/** What refusing may count and record: proofs that were tried, and calls. */
const COUNTED = ["auth.attempts", "public.audit_entries", "public.rate_windows", "public.tokens"];

/** Sends something that must be refused, and sees that nothing at all was written. */
export async function refused(db: Db, send: () => Promise<Answer>): Promise<Answer> {
  const before = await digestRows(db);
  const answer = await send();
  const after = await digestRows(db);
  const changed = Object.keys(after).filter((table) => after[table] !== before[table]);
  expect(changed.filter((table) => !COUNTED.includes(table))).toEqual([]);
  return answer;
}

/** What the page says first of all. */
export function alertOf({ text }: Answer): string {
  const said = /role="alert">([\s\S]*?)<\/(?:p|div)>/.exec(text)?.[1] ?? "";
  return said.replaceAll(/<[^>]*>|\s+/g, " ").trim();
}

/** As if the person had signed in a while ago. */
export async function letProofAge(db: Db, { userId }: CoSignStory): Promise<void> {
  await sql`
    update auth.sessions set proved_at = proved_at - interval '6 minutes' where user_id = ${userId}`.execute(
    db,
  );
}

export async function dropPasskeys(db: Db, { userId }: CoSignStory): Promise<void> {
  await sql`delete from auth.passkeys where user_id = ${userId}`.execute(db);
}

/** What became of a person's place in the account; another person is an owner then, as the account keeps one. */
export async function changeMember(
  db: Db,
  { account, memberId }: CoSignStory,
  change: { status: "removed" } | { role: "viewer" },
): Promise<void> {
  const accountId = accountKey(account);
  await sql`
    insert into members (account_id, id, email, name, role, status, user_id, created_at, updated_at)
    values (${accountId}, gen_random_uuid(), ${`owner-${account}@example.com`}, 'Other', 'owner', 'active',
      ${`owner-${account}`}, now(), now())`.execute(db);
  await db
    .updateTable("members")
    .set(change)
    .where("account_id", "=", accountId)
    .where("id", "=", memberId)
    .execute();
}
