import type { Db } from "../../src/database/connection.ts";
import { inTransaction } from "../../src/database/transaction.ts";
import type { App } from "../../src/http/app.ts";
import { newId } from "../../src/lib/ids.ts";
import { insertPasskey } from "../../src/passkeys/store.ts";
import { Authenticator, type Lies } from "./authenticator.ts";
import { type Answer, createFixture } from "./fixtures.ts";
import { createHuman, hiddenValue, open, submit } from "./humans.ts";
import { PUBLIC_URL } from "./service.ts";

export const SECURITY = "/settings/security";
export const PASSKEYS = `${SECURITY}/passkeys`;

/** The user id of that email. */
export async function userIdOf(db: Db, email: string): Promise<string> {
  const row = db.selectFrom("auth.users").where("email", "=", email).select("id");
  return (await row.executeTakeFirstOrThrow()).id;
}

export type PasskeyOptions = {
  origin?: string;
  counter?: number;
  /** Whether it is kept by a password manager on several devices, and not bound to one. */
  synced?: boolean;
};

/** A passkey of the person's, as if they had added it a while ago. */
export async function givePasskey(
  db: Db,
  userId: string,
  { origin = PUBLIC_URL, counter = 0, synced = false }: PasskeyOptions = {},
): Promise<Authenticator> {
  const authenticator = new Authenticator(origin);
  const inserted = await inTransaction(db, (trx) =>
    insertPasskey(trx, {
      id: newId(),
      user_id: userId,
      name: "Test passkey",
      credential_id: authenticator.credentialId,
      public_key: authenticator.coseKey,
      counter,
      transports: ["internal"],
      device_type: synced ? "multiDevice" : "singleDevice",
      backed_up: synced,
      aaguid: null,
      created_at: new Date(),
      last_used_at: null,
      active_from: new Date(0),
    }),
  );
  if (!inserted) throw new Error("the passkey is known already");
  return authenticator;
}

/** A member of the story's account, and of an account of their own, whose passkey waits for owners to consent. */
export async function addWaitingMember(
  { app, db, origin }: { app: App; db: Db; origin: string },
  { userId }: { userId: string },
): Promise<{ email: string; userId: string }> {
  const { email } = await createHuman(app, (await createFixture(app)).account);
  const memberId = await userIdOf(db, email);
  const own = db.selectFrom("members").where("user_id", "=", userId).selectAll();
  const joined = { ...(await own.executeTakeFirstOrThrow()), id: newId(), user_id: memberId, email };
  await db
    .insertInto("members")
    .values({ ...joined, role: "approver" })
    .execute();
  await givePasskey(db, memberId, { origin });
  await db.updateTable("auth.passkeys").set({ active_from: null }).where("user_id", "=", memberId).execute();
  return { email, userId: memberId };
}

/** What the page's script asks before it asks the browser. */
export async function askToAdd(
  app: App,
  { cookie }: { cookie: string },
  fields: Record<string, string> = {},
): Promise<{ form_token: string; answer: Answer; options: Answer["body"] }> {
  const form_token = hiddenValue(await open(app, `${PASSKEYS}/new`, { cookie }), PASSKEYS);
  const answer = await submit(app, `${PASSKEYS}/options`, { form_token, ...fields }, { cookie });
  return { form_token, answer, options: answer.body };
}

export type Adding = {
  authenticator?: Authenticator;
  lies?: Lies;
  /** Typed, as the last proof is old. */
  password?: string;
  /** A passkey of theirs that counts, which signs the new one. */
  signer?: Authenticator;
  /** What else the form sends. */
  fields?: Record<string, string>;
};

/** Adds a passkey as a browser does, and says how that was answered. */
export async function addPasskey(
  app: App,
  human: { cookie: string },
  { authenticator = new Authenticator(), lies, password, signer, fields = {} }: Adding = {},
): Promise<{ answer: Answer; authenticator: Authenticator; credential: string; form_token: string }> {
  const { form_token, options } = await askToAdd(app, human, password === undefined ? {} : { password });
  const credential = JSON.stringify(authenticator.register(options.challenge, lies));
  const signed = signer && { signature: await signNew(app, human, { form_token, credential }, signer) };
  const answer = await submit(app, PASSKEYS, { form_token, credential, ...signed, ...fields }, human);
  return { answer, authenticator, credential, form_token };
}

/** What a passkey answers that signs a new one. */
export async function signNew(
  app: App,
  human: { cookie: string },
  fields: Record<string, string>,
  signer: Authenticator,
): Promise<string> {
  const { body, text } = await submit(app, `${PASSKEYS}/sign`, fields, human);
  if (body?.challenge === undefined) throw new Error(text);
  return JSON.stringify(signer.assert(body.challenge));
}

export type SigningIn = { lies?: Lies; challenge?: string; cookie?: string; returnTo?: string };

/** Signs in as the sign-in page's script does, and says how that was answered. */
export async function signInByPasskey(
  app: App,
  authenticator: Authenticator,
  userId: string,
  { lies = {}, challenge, cookie, returnTo = "" }: SigningIn = {},
): Promise<Answer> {
  const asked = challenge ?? (await submit(app, "/sign-in/passkey/options", {})).body.challenge;
  const assertion = authenticator.assert(asked, { userHandle: handleOf(userId), ...lies });
  return submit(
    app,
    "/sign-in/passkey",
    { credential: JSON.stringify(assertion), return_to: returnTo },
    { cookie },
  );
}

/** What an authenticator keeps of whose passkey it is. */
export function handleOf(userId: string): string {
  return Buffer.from(userId).toString("base64url");
}
