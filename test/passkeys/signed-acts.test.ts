import { createHash } from "node:crypto";
import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { listAudit } from "../../src/audit/service.ts";
import { canonicalText } from "../../src/lib/canonical.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { listOwnPasskeys, listPasskeys } from "../../src/passkeys/store.ts";
import { auditOf } from "../support/audit.ts";
import { Authenticator } from "../support/authenticator.ts";
import { alertOf, beginCoSign, type CoSignStory, refused } from "../support/co-sign.ts";
import { type Answer, operate } from "../support/fixtures.ts";
import {
  cookieOf,
  createHuman,
  hiddenValue,
  invite,
  newEmail,
  open,
  refusalOf,
  submit,
} from "../support/humans.ts";
import {
  addPasskey,
  givePasskey,
  PASSKEYS,
  SECURITY,
  signInByPasskey,
  signNew,
  userIdOf,
} from "../support/passkeys.ts";
import { startService } from "../support/service.ts";

const service = await startService();
const { app, db } = service;
const MEMBERS = "/settings/members";
const MUST_SIGN = "you must sign this change with your passkey";

/** An owner who has just signed in with their passkey, where passkeys are demanded, and a person with a copy of their cookie. */
async function begin(): Promise<CoSignStory> {
  const story = await beginCoSign(service);
  return { ...story, cookie: cookieOf(await signInByPasskey(app, story.passkey, story.userId)) };
}

/** The purpose's digest in a challenge, after 16 random bytes and 6 bytes of time. */
function digestIn(clientDataJSON: string): string {
  const { challenge } = JSON.parse(Buffer.from(clientDataJSON, "base64url").toString());
  return Buffer.from(challenge, "base64url").subarray(22, 54).toString("hex");
}

/** The last entry of that action; checks that its signature is over its statement. */
async function signedEntry({ account }: CoSignStory, action: string) {
  const { entries } = await listAudit(db, accountKey(account), {});
  const detail = entries.find((one) => one.action === action)?.detail ?? {};
  const { statement, proof } = detail as { statement: object; proof: Record<string, string> };
  const digest = createHash("sha256").update(canonicalText(statement)).digest("hex");
  expect(digestIn(proof.clientDataJSON ?? "")).toBe(digest);
  return { statement, proof };
}

describe("where passkeys are demanded, a passkey", () => {
  test("a copied cookie adds no passkey where passkeys are demanded, and the page says what to do", async () => {
    const story = await begin();
    const page = await open(app, `${PASSKEYS}/new`, story);
    expect(page.text).toContain("You’ll be asked twice");
    const form_token = hiddenValue(page, PASSKEYS);
    const { body } = await submit(app, `${PASSKEYS}/options`, { form_token }, story);
    const credential = JSON.stringify(new Authenticator().register(body.challenge));
    const answer = await refused(db, () => submit(app, PASSKEYS, { form_token, credential }, story));
    expect(refusalOf(answer)).toContain(MUST_SIGN);
    const [refusal] = await auditOf(db, story.email, ["act_signature_refused"]);
    expect(refusal?.detail).toMatchObject({ act: "passkey", reason: "act_signature_required" });
  });

  test("a new passkey signed by an active one is active at once, and the proof is stored", async () => {
    const story = await begin();
    const { answer, authenticator } = await addPasskey(app, story, { signer: story.passkey });
    expect(answer.headers.location).toBe(`${SECURITY}?said=passkey`);
    expect(await listPasskeys(db, story.userId)).toHaveLength(2);
    const { statement, proof } = await signedEntry(story, "passkey_added");
    expect(statement).toEqual({
      v: 1,
      action: "passkey",
      accountId: null,
      approvalId: null,
      decision: "confirm",
      terms: { subject: { kind: "passkey", id: authenticator.id }, from: null, to: { name: "Passkey" } },
      source: null,
      nonce: null,
    });
    expect(proof.credentialId).toBe(story.passkey.id);
  });

  test("a new passkey with a foreign or used signature is refused", async () => {
    const story = await begin();
    const stranger = await createHuman(app, story.account, "viewer");
    const theirs = await givePasskey(db, await userIdOf(db, stranger.email));
    const waiting = await givePasskey(db, story.userId);
    await sql`update auth.passkeys set active_from = null where credential_id = ${waiting.credentialId}`.execute(
      db,
    );

    const form_token = hiddenValue(await open(app, `${PASSKEYS}/new`, story), PASSKEYS);
    const create = async () => {
      const { body } = await submit(app, `${PASSKEYS}/options`, { form_token }, story);
      return JSON.stringify(new Authenticator().register(body.challenge));
    };
    const credential = await create();
    const send = (signature: string, other = credential) =>
      submit(app, PASSKEYS, { form_token, credential: other, signature }, story);
    for (const signer of [theirs, waiting, new Authenticator()]) {
      const signature = await signNew(app, story, { form_token, credential }, signer);
      expect(refusalOf(await refused(db, () => send(signature)))).toBeDefined();
    }
    const used = await signNew(app, story, { form_token, credential }, story.passkey);
    const foreign = await create();
    expect(refusalOf(await refused(db, () => send(used, foreign)))).toBeDefined();
    expect((await send(used)).status).toBe(303);
    expect(refusalOf(await send(used, foreign))).toBeDefined();
    expect(await listPasskeys(db, story.userId)).toHaveLength(2);
  });

  test("after a copied cookie removed a passkey, the next one is inactive", async () => {
    const story = await begin();
    const [own] = await listOwnPasskeys(db, story.userId);
    const path = `${PASSKEYS}/${own?.id}`;
    const form_token = hiddenValue(await open(app, path, story), `${path}/remove`);
    expect((await submit(app, `${path}/remove`, { form_token }, story)).status).toBe(303);
    const { answer } = await addPasskey(app, story);
    expect(answer.headers.location).toBe(`${SECURITY}?said=passkey-waits`);
    expect(await listPasskeys(db, story.userId)).toEqual([]);
  });

  test("a person's first passkey needs no signature", async () => {
    const story = await begin();
    await sql`delete from auth.passkeys where user_id = ${story.userId}`.execute(db);
    const { answer } = await addPasskey(app, story);
    expect(answer.headers.location).toBe(`${SECURITY}?said=passkey`);
  });
});

type Change = {
  path: string;
  fields: Record<string, string>;
  action: string;
  terms: object;
  done: () => Promise<boolean>;
};

const CHANGES: Record<string, (story: CoSignStory) => Promise<Change>> = {
  "inviting a person": async (story) => {
    const page = await open(app, MEMBERS, story);
    const path = `${MEMBERS}/invite`;
    const person = { email: newEmail(), name: "Bob Builder", role: "approver" };
    const fields = {
      account_id: hiddenValue(page, path, "account_id"),
      form_token: hiddenValue(page, path),
      ...person,
    };
    const done = async () => (await membersOf(story)).some(({ email }) => email === person.email);
    return {
      path,
      fields,
      action: "member_invited",
      terms: { subject: { kind: "member", id: person.email }, from: null, to: person },
      done,
    };
  },
  "changing a role": async (story) => {
    const { memberId, name, email } = await createViewer(story);
    const path = `${MEMBERS}/${memberId}/role`;
    const page = await open(app, `${MEMBERS}/${memberId}`, story);
    const shown = hiddenValue(page, path, "shown");
    const fields = { form_token: hiddenValue(page, path), shown, role: "owner" };
    const terms = {
      subject: { kind: "member", id: memberId },
      from: { name, email, role: "viewer", asOf: shown },
      to: { name, email, role: "owner" },
    };
    const done = async () =>
      (await membersOf(story)).some(({ id, role }) => id === memberId && role === "owner");
    return { path, fields, action: "member_role_changed", terms, done };
  },
  "removing a member": async (story) => {
    const { memberId, name, email } = await createViewer(story);
    const path = `${MEMBERS}/${memberId}/remove`;
    const fields = { form_token: hiddenValue(await open(app, path, story), path), revoke_keys: "yes" };
    const terms = {
      subject: { kind: "member", id: memberId },
      from: { name, email, role: "viewer" },
      to: { role: null, keysRevoked: true, webhooksDeleted: false },
    };
    const done = async () => !(await membersOf(story)).some(({ id }) => id === memberId);
    return { path, fields, action: "member_removed", terms, done };
  },
  "consenting to the operator's upgrade": async (story) => {
    const { memberId, name, email } = await createViewer(story);
    await operate(app, "PATCH", `/accounts/${story.account}/members/${memberId}`, { role: "approver" });
    const page = await open(app, MEMBERS, story);
    const [path = ""] = /\/settings\/members\/upgrades\/[0-9a-f-]+\/[0-9a-f-]+/.exec(page.text) ?? [];
    const fields = { form_token: hiddenValue(page, path), decision: "consent" };
    const terms = {
      subject: { kind: "upgrade", id: path.split("/").at(-1) },
      from: { name, email, role: "viewer" },
      to: { name, email, role: "approver" },
    };
    const done = async () =>
      (await membersOf(story)).some(({ id, role }) => id === memberId && role === "approver");
    return { path, fields, action: "member_role_changed", terms, done };
  },
  "consenting to the operator's invitation": async (story) => {
    const { memberId, email } = await invite(app, story.account, "approver");
    const path = `${SECURITY}/consent`;
    const page = await open(app, SECURITY, story);
    const invitationId = hiddenValue(page, path, "invitation_id");
    const fields = {
      form_token: hiddenValue(page, path),
      account_id: hiddenValue(page, path, "account_id"),
      invitation_id: invitationId,
      role: "approver",
      decision: "consent",
    };
    const done = async () => {
      const row = db.selectFrom("invitations").where("member_id", "=", memberId).select("consented_at");
      return (await row.executeTakeFirstOrThrow()).consented_at !== null;
    };
    const to = { name: "Ada Owner", email, role: "approver" };
    const terms = { subject: { kind: "invitation", id: invitationId }, from: null, to };
    return { path, fields, action: "invitation_consented", terms, done };
  },
};

describe.each(Object.entries(CHANGES))("where passkeys are demanded, %s", (_what, prepare) => {
  const sign = async (
    story: CoSignStory,
    path: string,
    fields: Record<string, string>,
    by = story.passkey,
  ) => {
    const asked: Answer = await submit(app, `${path}/sign`, fields, story);
    expect(asked.status, asked.text).toBe(200);
    return JSON.stringify(by.assert(asked.body.challenge));
  };

  test("a change by a copied cookie, or with a foreign, other or used answer, is refused", async () => {
    const story = await begin();
    const { path, fields, terms, done } = await prepare(story);
    const send = (more: Record<string, string>) => submit(app, path, { ...fields, ...more }, story);
    const bare = await refused(db, () => send({}));
    expect(refusalOf(bare)).toContain(MUST_SIGN);
    const foreign = await sign(story, path, fields, new Authenticator());
    expect(refusalOf(await refused(db, () => send({ credential: foreign })))).toBeDefined();

    const other = await CHANGES["inviting a person"]?.(story);
    if (other === undefined) throw new TypeError("it is listed");
    const elsewhere = await sign(story, other.path, other.fields);
    expect(refusalOf(await refused(db, () => send({ credential: elsewhere })))).toBeDefined();
    expect(await done()).toBe(false);
    const { entries } = await listAudit(db, accountKey(story.account), {});
    const refusals = entries.filter((entry) => entry.action === "act_signature_refused");
    expect(refusals).toHaveLength(3);
    for (const { actor, detail, address } of refusals) {
      expect(actor).toMatchObject({ kind: "person", id: story.userId });
      expect(detail).toMatchObject({ act: "member", terms, reason: "act_signature_required" });
      expect(address).not.toBeNull();
    }
  });

  test("a change with the owner's signature is made, and the stored signature works once", async () => {
    const story = await begin();
    const { path, fields, action, terms, done } = await prepare(story);
    const credential = await sign(story, path, fields);
    const answer = await submit(app, path, { ...fields, credential }, story);
    expect([201, 303], alertOf(answer)).toContain(answer.status);
    expect(await done()).toBe(true);
    const { statement } = await signedEntry(story, action);
    expect(statement).toMatchObject({ action: "member", accountId: accountKey(story.account), terms });
    const again = await submit(app, path, { ...fields, credential }, story);
    if (again.status !== 303) expect([403, 404]).toContain(again.status);
    else if (refusalOf(again) === undefined) expect(again.headers.location).toMatch(/over$/);
  });
});

async function membersOf({ account }: CoSignStory): Promise<{ id: string; email: string; role: string }[]> {
  return (await operate(app, "GET", `/accounts/${account}/members`)).members.filter(
    ({ status }: { status: string }) => status !== "removed",
  );
}

function createViewer({ account }: CoSignStory) {
  return createHuman(app, account, "viewer");
}
