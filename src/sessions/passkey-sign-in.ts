import { randomBytes } from "node:crypto";
import type { PublicKeyCredentialRequestOptionsJSON } from "@simplewebauthn/server";
import { readClock } from "../database/clock.ts";
import { inTransaction } from "../database/transaction.ts";
import { newId } from "../lib/ids.ts";
import { addSeconds } from "../lib/time.ts";
import { readAssertion } from "./assertion.ts";
import { SESSION_SECONDS } from "./auth.ts";
import type { Ceremony } from "./challenge.ts";
import { sessionCookie, tokenDigest } from "./cookie.ts";
import { askForAnswer, checkAnswer, counts } from "./passkey-answer.ts";
import { listOwnPasskeys } from "./passkey-store.ts";
import { type Caller, readSession, type SessionDeps } from "./service.ts";
import * as store from "./store.ts";

const SIGNING_IN: Ceremony = { sessionId: undefined, purpose: "passkey:sign-in" };
const TOKEN_BYTES = 32;

type Person = { userId: string; sessionId: string };

/** What `navigator.credentials.get` is to ask whoever signs in: any passkey that they have for us. */
export function askToSignIn(deps: SessionDeps): Promise<PublicKeyCredentialRequestOptionsJSON> {
  return askForAnswer(deps, SIGNING_IN, []);
}

/**
 * Signs in whoever's passkey has answered: a new session always, and the one that the browser brought ends. All in one
 * transaction that holds the passkey, so that whoever removes it ends this session too. It is a proof of presence.
 * @returns the cookies to set; `undefined` when no passkey of ours has answered a challenge that counts
 * @throws Problem rate_limited {retryAfterSeconds}
 */
export async function signInWithPasskey(
  deps: SessionDeps,
  credential: string,
  caller: Caller,
): Promise<string[] | undefined> {
  const { db, config, keys, attempts } = deps;
  await attempts.countAddress(caller.address);
  const assertion = readAssertion(credential);
  const former = await readSession(deps, caller.cookie);
  const origin = { address: caller.address, requestId: null };
  const token = randomBytes(TOKEN_BYTES).toString("base64url");
  const signedIn = await inTransaction(db, async (trx) => {
    const now = await readClock(trx);
    const passkey = await checkAnswer(trx, deps, { ceremony: SIGNING_IN, origin }, assertion, now);
    if (passkey === undefined) return false;
    const session = {
      id: newId(),
      tokenDigest: tokenDigest(token),
      userId: passkey.user_id,
      expiresAt: addSeconds(now, SESSION_SECONDS),
      address: caller.address,
      userAgent: caller.userAgent,
      trusted: counts(passkey, now),
    };
    await store.insertSession(trx, session, now);
    if (former !== undefined) await store.deleteSession(trx, former.sessionId);
    return true;
  });
  if (!signedIn) return undefined;
  await attempts.forgiveAddress(caller.address);
  return [sessionCookie(config.publicUrl, token, keys.cookies[0] ?? "", SESSION_SECONDS)];
}

/** What `navigator.credentials.get` is to ask a signed-in person, to show that it is them. */
export async function askForPresence(
  deps: SessionDeps,
  person: Person,
): Promise<PublicKeyCredentialRequestOptionsJSON> {
  return askForAnswer(deps, provingIn(person), await listOwnPasskeys(deps.db, person.userId));
}

/**
 * Proves presence by a passkey, in place of the password.
 * @returns whether a passkey of theirs has answered a challenge that counts
 * @throws Problem rate_limited {retryAfterSeconds}
 */
export async function proveByPasskey(
  deps: SessionDeps,
  person: Person,
  credential: string,
  address: string,
): Promise<boolean> {
  const { db, attempts } = deps;
  await attempts.countAddress(address);
  const assertion = readAssertion(credential);
  const proved = await inTransaction(db, async (trx) => {
    const now = await readClock(trx);
    const origin = { address, requestId: null };
    const asked = { ceremony: provingIn(person), userId: person.userId, origin };
    const passkey = await checkAnswer(trx, deps, asked, assertion, now);
    if (passkey === undefined) return false;
    await store.markProvedByPasskey(trx, person.sessionId, counts(passkey, now), now);
    return true;
  });
  if (proved) await attempts.forgiveAddress(address);
  return proved;
}

function provingIn({ sessionId }: Person): Ceremony {
  return { sessionId, purpose: "passkey:presence" };
}
