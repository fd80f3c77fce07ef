import { sql } from "kysely";
import { expect } from "vitest";
import { accountKey } from "../../src/lib/ids.ts";
import { listPasskeys } from "../../src/passkeys/store.ts";
import { createResetLink } from "../../src/sign-in/reset-service.ts";
import { auditOf } from "../support/audit.ts";
import type { Authenticator, Lies } from "../support/authenticator.ts";
import {
  askChallenge,
  beginCoSign,
  type CoSignStory,
  readForm,
  sendForm,
  statusOf,
} from "../support/co-sign.ts";
import {
  cookieOf,
  type HumanFixture,
  hiddenValue,
  invite,
  open,
  PASSWORD,
  signIn,
  submit,
} from "../support/humans.ts";
import { type Adding, addPasskey, SECURITY, signInByPasskey, userIdOf } from "../support/passkeys.ts";
import type { TestService } from "../support/service.ts";

export const CONSENTS = `${SECURITY}/passkey-consents`;
export const NEXT = "another long password";

export type Owner = HumanFixture & { userId: string };
export type Scene = { story: CoSignStory; owner: Owner };

/** Scenes for the tests of active and inactive passkeys, on one service. */
export function trustScenes(service: TestService) {
  const { app, db, config } = service;

  /**
   * An account that confirms with passkeys only: Ada, who has one, and whose approval waits; and Bob, an owner too.
   * A reader of Ada's mail can do what `comeByLink` does.
   */
  async function begin(options: { coSign?: "session" | "passkey" } = {}): Promise<Scene> {
    const story = await beginCoSign(service, options);
    return { story, owner: await addOwner(story) };
  }

  async function addOwner(story: CoSignStory): Promise<Owner> {
    const other = await invite(app, story.account, "approver");
    await sql`update invitations set consented_at = now(), consented_by = ${story.userId}
    where account_id = ${accountKey(story.account)} and used_at is null`.execute(db);
    const answer = await submit(app, "/invite", { token: other.token, password: PASSWORD });
    await sql`update members set role = 'owner' where id = ${other.memberId}`.execute(db);
    const userId = await userIdOf(db, other.email);
    return { ...other, name: "Ada Owner", cookie: cookieOf(answer), userId };
  }

  /** Sets a new password by a reset link, and signs in with it. */
  async function comeByLink<T extends { email: string }>(person: T): Promise<T & { cookie: string }> {
    const link = (await createResetLink({ db, config }, person.email)) ?? "";
    const token = new URL(link).searchParams.get("token") ?? "";
    expect((await submit(app, "/reset/new", { token, password: NEXT })).status).toBe(303);
    return { ...person, cookie: cookieOf(await signIn(app, person.email, NEXT)) };
  }

  /** Adds a passkey, as a browser does. */
  async function add(human: { cookie: string }, adding: Adding = {}) {
    const { answer, authenticator } = await addPasskey(app, human, adding);
    expect(answer.status, answer.text).toBe(303);
    return { answer, authenticator };
  }

  const signInWith = async (authenticator: Authenticator, userId: string): Promise<string> =>
    cookieOf(await signInByPasskey(app, authenticator, userId));

  const idOf = async (authenticator: Authenticator) =>
    (
      await db
        .selectFrom("auth.passkeys")
        .where("credential_id", "=", authenticator.credentialId)
        .select("id")
        .executeTakeFirst()
    )?.id ?? "";
  const countsFor = async (userId: string, { id }: Authenticator) =>
    (await listPasskeys(db, userId)).some((one) => one.credential_id.toString("base64url") === id);
  const tracesOf = async (userId: string) => {
    const { email } = await db
      .selectFrom("auth.users")
      .where("id", "=", userId)
      .select("email")
      .executeTakeFirstOrThrow();
    return (await auditOf(db, email)).map(({ action, detail }) => ({ action, detail }));
  };
  /** Tries to confirm with this passkey. @returns whether the payment was made */
  async function confirms(story: CoSignStory, passkey: Authenticator): Promise<boolean> {
    const page = await open(app, story.path, story);
    if (!page.text.includes("/challenge")) return false;
    const fields = await readForm(app, story);
    const asked = await askChallenge(app, story, fields);
    if (asked.status !== 200) return false;
    await sendForm(app, story, {
      ...fields,
      assertion: JSON.stringify(passkey.assert(asked.body.challenge)),
    });
    return (await statusOf(app, story)) === "confirmed";
  }

  async function consentForm({ cookie }: { cookie: string }, passkeyId: string) {
    const { text, ...page } = await open(app, SECURITY, { cookie });
    const forms = text.split("<li>").filter((part) => part.includes(`value="${passkeyId}"`));
    const part = { ...page, text: forms.find((one) => one.includes(`action="${CONSENTS}"`)) ?? "" };
    return {
      account_id: hiddenValue(part, CONSENTS, "account_id"),
      passkey_id: passkeyId,
      form_token: hiddenValue(part, CONSENTS),
    };
  }

  /** An owner consents, as the page's script does. */
  async function agree(owner: { cookie: string }, passkeyId: string, own: Authenticator, lies: Lies = {}) {
    const fields = await consentForm(owner, passkeyId);
    const { body } = await submit(app, `${CONSENTS}/options`, fields, owner);
    const credential = JSON.stringify(own.assert(body.challenge, lies));
    return submit(app, CONSENTS, { ...fields, credential }, owner);
  }

  return {
    begin,
    addOwner,
    comeByLink,
    add,
    signInWith,
    idOf,
    countsFor,
    tracesOf,
    confirms,
    consentForm,
    agree,
  };
}
