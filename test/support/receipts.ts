import { createPublicKey, type KeyObject } from "node:crypto";
import { expect } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import type { PaymentDeps } from "../../src/approvals/advance-service.ts";
import { confirmApproval, declineApproval, issueChallenge } from "../../src/approvals/decision-service.ts";
import { NO_ORIGIN } from "../../src/lib/origin.ts";
import { readAssertion } from "../../src/passkeys/assertion.ts";
import { type RelyingParty, relyingPartyOf } from "../../src/passkeys/relying-party.ts";
import type { LinkedContent, Receipt } from "../../src/receipts/schemas.ts";
import { openReceiptKeys } from "../../src/receipts/service.ts";
import { verifyReceipt } from "../../src/receipts/verifier.ts";
import type { Authenticator, Lies } from "./authenticator.ts";
import { call } from "./fixtures.ts";
import { givePasskey } from "./passkeys.ts";
import { PUBLIC_URL, type TestService } from "./service.ts";
import { confirmNow, createStories, deciderOf, putCard, readStatement, type Story } from "./stories.ts";

type Deps = PaymentDeps & Pick<TestService, "app" | "config">;

/** An account with this many approvals that wait, to be decided one by one. */
export async function createChain({ app }: Pick<TestService, "app">, count: number) {
  const { fixture, stories } = await createStories(app, "pm_card_visa", count);
  return { ...fixture, stories };
}

/** What an agent is answered. */
export async function readReceipt({ app }: Pick<TestService, "app">, token: string, { approvalId }: Story) {
  const { status, body, text } = await call(app, "GET", `/api/public/v1/approvals/${approvalId}/receipt`, {
    token,
  });
  expect(status, text).toBe(200);
  return { receipt: body.receipt as Receipt, bytes: Buffer.from(text) };
}

/** A decision of every kind that there is, each with its receipt as an agent is answered it. */
export async function decideEveryWay(deps: Deps) {
  const { token, stories, ...fixture } = await createChain(deps, 4);
  const [byPassword, byPasskey, afterRefusal, declined] = stories as [Story, Story, Story, Story];
  await confirmNow(deps, byPassword);
  await confirmByPasskey(deps, byPasskey);
  await putCard(deps.app, fixture.account, "pm_card_chargeDeclined");
  await confirmNow(deps, afterRefusal);
  await putCard(deps.app, fixture.account, "pm_card_visa");
  await confirmNow(deps, afterRefusal);
  await declineNow(deps, declined);
  const read = async (story: Story) => ({ story, ...(await readReceipt(deps, token, story)) });
  return {
    fixture: { ...fixture, token },
    byPassword: await read(byPassword),
    byPasskey: await read(byPasskey),
    afterRefusal: await read(afterRefusal),
    declined: await read(declined),
  };
}

export async function declineNow(deps: Pick<PaymentDeps, "db" | "config">, story: Story): Promise<void> {
  const decider = await deciderOf(deps.db, story);
  const presence = { kind: "session", provedAt: new Date() } as const;
  await declineApproval(
    deps,
    story,
    { ...decider, presence },
    await readStatement(deps.db, story, "decline"),
  );
}

/** Confirms with a passkey of the person's, which they get for it. */
export async function confirmByPasskey(deps: Deps, story: Story): Promise<void> {
  const { db, config } = deps;
  const signed = await readStatement(db, story, "confirm");
  const decider = await deciderOf(db, story);
  const passkey = await givePasskey(db, decider.actor.userId);
  await issueChallenge(db, story, decider.actor, signed);
  const presence = {
    kind: "passkey" as const,
    checking: {
      relyingParty: relyingPartyOf(config) as RelyingParty,
      logger: createLogger("silent"),
      origin: NO_ORIGIN,
    },
    assertion: readAssertion(JSON.stringify(passkey.assert(signed.digest))),
  };
  await confirmApproval(deps, story, { ...decider, presence }, signed);
}

/** What is kept with a signature that a passkey made. */
export function passkeyProof(authenticator: Authenticator, challenge: Buffer, lies: Lies = {}) {
  const { id, response } = authenticator.assert(challenge, lies);
  return {
    kind: "passkey" as const,
    provedAt: new Date(),
    credentialId: id,
    publicKey: authenticator.coseKey.toString("base64url"),
    authenticatorData: response.authenticatorData,
    clientDataJSON: response.clientDataJSON,
    signature: response.signature,
    rpId: new URL(PUBLIC_URL).hostname,
    origin: PUBLIC_URL,
  };
}

/** What signs the receipts of the tests' services, and what they are checked with. */
export const { signing: SIGNING_KEY } = openReceiptKeys([Buffer.alloc(32, "s")], []);
export const SERVICE_KEYS: KeyObject[] = [createPublicKey(SIGNING_KEY)];

/** What is linked of a receipt. */
export function linkedContent({ signature, chain, ...content }: Receipt): LinkedContent {
  return { ...content, chain: { index: chain.index, previousDigest: chain.previousDigest } };
}

/** How the verifier judges a file: `genuine`, or why not. */
export async function judge(file: string | Uint8Array, keys = SERVICE_KEYS): Promise<string> {
  const bytes = typeof file === "string" ? Buffer.from(file) : file;
  return verifyReceipt(bytes, keys).then(
    () => "genuine",
    (error: Error) => {
      expect(error.name).toBe("Refused");
      return error.message;
    },
  );
}
