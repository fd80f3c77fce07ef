import { hash, verify } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { PasskeyProof } from "../../src/database/schema.ts";
import { canonicalDigest } from "../../src/lib/canonical.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { listPasskeys } from "../../src/passkeys/store.ts";
import {
  alertOf,
  askChallenge,
  beginCoSign,
  type CoSignOptions,
  changeMember,
  chargesOf,
  dropPasskeys,
  landForm,
  readForm,
  readSignatures,
  refused,
  sendForm,
  signForm,
  statusOf,
} from "../support/co-sign.ts";
import { call, operate } from "../support/fixtures.ts";
import { submit } from "../support/humans.ts";
import { givePasskey } from "../support/passkeys.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";

const service = await startService();
const { app, db } = service;

const begin = (options?: CoSignOptions) => beginCoSign(service, options);

describe("a passkey's answer to the statement that the page showed", () => {
  test("confirms, and is stored in full: the row can be verified for ever", async () => {
    const story = await begin();
    const answer = await sendForm(app, story, await signForm(app, story));
    expect([answer.status, answer.headers.location]).toEqual([303, story.path]);
    expect(await statusOf(app, story)).toBe("confirmed");
    expect(await chargesOf(app, story)).toHaveLength(1);

    const [signature, ...others] = await readSignatures(db, story);
    expect(others).toEqual([]);
    if (signature === undefined) throw new Error("nothing was signed");
    const proof = signature.proof as PasskeyProof;
    expect(Object.keys(proof).sort()).toEqual(
      [
        "kind",
        "provedAt",
        "credentialId",
        "publicKey",
        "authenticatorData",
        "clientDataJSON",
        "signature",
        "rpId",
        "origin",
      ].sort(),
    );
    expect(proof).toMatchObject({
      kind: "passkey",
      provedAt: signature.created_at.toISOString(),
      credentialId: story.passkey.id,
      publicKey: story.passkey.coseKey.toString("base64url"),
      rpId: "localhost",
      origin: PUBLIC_URL,
    });
    const bytes = (text: string) => Buffer.from(text, "base64url");
    const clientData = JSON.parse(bytes(proof.clientDataJSON).toString());
    expect(bytes(clientData.challenge)).toEqual(canonicalDigest(signature.statement));
    expect(signature.statement_digest).toEqual(canonicalDigest(signature.statement));
    const signed = Buffer.concat([
      bytes(proof.authenticatorData),
      hash("sha256", bytes(proof.clientDataJSON), "buffer"),
    ]);
    expect(verify("sha256", signed, story.passkey.publicKey, bytes(proof.signature))).toBe(true);
  });

  test("is asked of the person's own passkeys, for user verification, within 5 minutes", async () => {
    const story = await begin();
    const second = await givePasskey(db, story.userId);
    const { status, body, headers } = await askChallenge(app, story, await readForm(app, story));
    expect([status, headers["cache-control"]]).toEqual([200, "no-store"]);
    expect(body).toMatchObject({ rpId: "localhost", userVerification: "required", timeout: 300_000 });
    const ids = body.allowCredentials.map(({ id }: { id: string }) => id);
    expect(ids).toEqual([story.passkey.id, second.id]);
  });

  test("counts its authenticator up, and notes when it was used", async () => {
    const story = await begin({ counter: 6 });
    await sendForm(app, story, await signForm(app, story, { lies: { counter: 7 } }));
    expect(await statusOf(app, story)).toBe("confirmed");
    const [passkey] = await listPasskeys(db, story.userId);
    expect(passkey?.counter).toBe(7);
    expect(passkey?.last_used_at).toEqual((await readSignatures(db, story))[0]?.created_at);
  });

  test("confirms again after the card was refused, as a statement and a signature of its own", async () => {
    const story = await begin({ paymentMethod: "pm_card_chargeDeclined" });
    await sendForm(app, story, await signForm(app, story));
    expect(await statusOf(app, story)).toBe("pending");
    await operate(app, "POST", `/accounts/${story.account}/payment-methods`, {
      paymentMethod: "pm_card_visa",
    });
    await sendForm(app, story, await signForm(app, story));
    expect(await statusOf(app, story)).toBe("confirmed");
    expect(await readSignatures(db, story)).toHaveLength(2);
  });

  test("sent twice at once, confirms exactly once", async () => {
    const story = await begin();
    const fields = await signForm(app, story);
    const answers = await Promise.all([1, 2, 3, 4].map(() => sendForm(app, story, fields)));
    expect(answers.map(({ status }) => status)).toEqual([303, 303, 303, 303]);
    expect(await statusOf(app, story)).toBe("confirmed");
    expect(await readSignatures(db, story)).toHaveLength(1);
    expect(await chargesOf(app, story)).toHaveLength(1);
  });

  test("given after a prompt that was cancelled, confirms: the same page may ask again", async () => {
    const story = await begin();
    const fields = await readForm(app, story);
    await askChallenge(app, story, fields);
    const { body } = await askChallenge(app, story, fields);
    const assertion = JSON.stringify(story.passkey.assert(body.challenge));
    expect((await sendForm(app, story, { ...fields, assertion })).status).toBe(303);
    expect(await statusOf(app, story)).toBe("confirmed");
  });
});

describe("what a passkey is asked", () => {
  test("counts for 5 minutes to the millisecond, by the database's clock", async () => {
    const story = await begin();
    await signForm(app, story);
    const row = await db
      .selectFrom("co_sign_challenges")
      .where("account_id", "=", accountKey(story.account))
      .select(["issued_at", "expires_at", "user_id"])
      .executeTakeFirstOrThrow();
    expect(row.expires_at.getTime() - row.issued_at.getTime()).toBe(300_000);
    expect(row.user_id).toBe(story.userId);
  });

  test("is gone once it has confirmed, and no answer to it counts again", async () => {
    const story = await begin({ paymentMethod: "pm_card_chargeDeclined" });
    const fields = await signForm(app, story);
    expect((await sendForm(app, story, fields)).status).toBe(303);
    expect(await statusOf(app, story)).toBe("pending");
    const again = await refused(db, () => landForm(app, story, fields));
    expect(alertOf(again)).toContain("in another tab");
    expect(await readSignatures(db, story)).toHaveLength(1);
  });

  test("is not asked for a stale page, another's form, another decision, or without the form's token", async () => {
    const story = await begin();
    const fields = await readForm(app, story);
    const other = await begin();
    for (const [send, status] of [
      [() => askChallenge(app, story, { ...fields, form_token: "" }), 403],
      [() => askChallenge(app, story, { ...fields, digest: "0".repeat(64) }), 403],
      [() => askChallenge(app, { ...story, cookie: other.cookie }, fields), 403],
      [() => askChallenge(app, { ...other, cookie: story.cookie }, fields), 403],
      [() => askChallenge(app, { ...story, cookie: "" }, fields), 303],
      [
        () =>
          submit(app, `${story.path}/challenge`, fields, {
            cookie: story.cookie,
            headers: { "sec-fetch-site": "cross-site" },
          }),
        403,
      ],
      [() => call(app, "POST", `${story.path}/challenge`, { token: story.token, body: fields }), 403],
      [() => call(app, "GET", `${story.path}/challenge`, { headers: { cookie: story.cookie } }), 405],
    ] as const) {
      const answer = await refused(db, send);
      expect([answer.status, send.toString()]).toEqual([status, send.toString()]);
    }
    await operate(app, "POST", `/accounts/${story.account}/payment-methods`, {
      paymentMethod: "pm_sandbox_slow",
    });
    expect((await refused(db, () => askChallenge(app, story, fields))).status).toBe(409);
  });

  test("is not asked of people who may not decide, or have no passkey", async () => {
    const story = await begin();
    const fields = await readForm(app, story);
    await dropPasskeys(db, story);
    expect((await refused(db, () => askChallenge(app, story, fields))).status).toBe(409);
    const again = await begin();
    const form = await readForm(app, again);
    await changeMember(db, again, { role: "viewer" });
    expect((await refused(db, () => askChallenge(app, again, form))).status).toBe(403);
  });
});
