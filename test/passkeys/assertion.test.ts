import { generateKeyPairSync, randomBytes } from "node:crypto";
import { verifyRegistrationResponse } from "@simplewebauthn/server";
import { describe, expect, test } from "vitest";
import { readAssertion, verifyAssertion } from "../../src/passkeys/assertion.ts";
import { relyingPartyOf } from "../../src/passkeys/relying-party.ts";
import { Authenticator, type Lies } from "../support/authenticator.ts";

const ORIGIN = "https://pay.example.com";
const relyingParty = { id: "pay.example.com", name: "Countersign", origin: ORIGIN };

function set() {
  const authenticator = new Authenticator(ORIGIN);
  const { credentialId, coseKey } = authenticator;
  return { authenticator, passkey: { credential_id: credentialId, public_key: coseKey } };
}

describe("an assertion", () => {
  test("an assertion by the passkey to the challenge, with user verification, is accepted", async () => {
    const { authenticator, passkey } = set();
    const challenge = randomBytes(32);
    const assertion = readAssertion(JSON.stringify(authenticator.assert(challenge)));
    if (assertion === undefined) throw new Error("it reads as none");
    expect(await verifyAssertion(relyingParty, passkey, assertion, challenge)).toEqual({
      verified: { counter: 0, backedUp: false },
    });
  });

  const stranger = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  test.each<[string, Lies, string]>([
    ["without user verification", { userVerified: false }, "person_not_verified"],
    ["without user presence", { userPresent: false }, "user_not_present"],
    ["of another origin", { origin: "https://pay.example.org" }, "other_origin"],
    ["for another relying party", { rpId: "example.com" }, "other_relying_party"],
    ["of a frame within another site", { crossOrigin: true }, "framed_by_another_site"],
    ["of another key", { key: stranger }, "other_signature"],
    ["that is a registration", { type: "webauthn.create" }, "unreadable"],
  ])("an assertion %s is refused", async (_what, lies, refused) => {
    const { authenticator, passkey } = set();
    const challenge = randomBytes(32);
    const assertion = authenticator.assert(challenge, lies);
    expect(await verifyAssertion(relyingParty, passkey, assertion, challenge)).toEqual({ refused });
  });

  test("an assertion to another challenge or of another credential is refused", async () => {
    const { authenticator, passkey } = set();
    const challenge = randomBytes(32);
    const assertion = authenticator.assert(challenge);
    expect(await verifyAssertion(relyingParty, passkey, assertion, randomBytes(32))).toEqual({
      refused: "other_challenge",
    });
    expect(await verifyAssertion(relyingParty, set().passkey, assertion, challenge)).toEqual({
      refused: "other_credential",
    });
  });

  test.each(["", "{", "null", "[]", '{"id":"a"}', JSON.stringify({ id: "a", rawId: "a", type: "x" })])(
    "%j is not read as an assertion",
    (text) => expect(readAssertion(text)).toBeUndefined(),
  );

  test("an assertion of random bytes is refused without an error", async () => {
    const { authenticator, passkey } = set();
    const challenge = randomBytes(32);
    for (const part of ["clientDataJSON", "authenticatorData", "signature"] as const) {
      const assertion = authenticator.assert(challenge);
      assertion.response[part] = randomBytes(40).toString("base64url");
      expect(await verifyAssertion(relyingParty, passkey, assertion, challenge), part).toHaveProperty(
        "refused",
      );
    }
  });
});

test("the tests' authenticator registers in the form that the library requires", async () => {
  const challenge = randomBytes(32).toString("base64url");
  const authenticator = new Authenticator(ORIGIN);
  const { verified, registrationInfo } = await verifyRegistrationResponse({
    response: authenticator.register(challenge),
    expectedChallenge: challenge,
    expectedOrigin: ORIGIN,
    expectedRPID: "pay.example.com",
    requireUserVerification: true,
  });
  expect(verified).toBe(true);
  expect(registrationInfo?.credential.id).toBe(authenticator.id);
  expect(Buffer.from(registrationInfo?.credential.publicKey ?? [])).toEqual(authenticator.coseKey);
});

describe("the relying party", () => {
  test.each([
    ["https://pay.example.com", "pay.example.com"],
    ["https://pay.example.com:8443", "pay.example.com"],
    ["http://localhost:3000", "localhost"],
  ])("the relying party of %s is %s", (publicUrl, id) => {
    expect(relyingPartyOf({ publicUrl, appName: "Pay" })).toEqual({ id, name: "Pay", origin: publicUrl });
  });

  test.each(["http://127.0.0.1:3000", "https://10.0.0.7", "http://[::1]:3000", "http://pay.example.com"])(
    "%s has no relying party",
    (publicUrl) => expect(relyingPartyOf({ publicUrl, appName: "Pay" })).toBeUndefined(),
  );
});
