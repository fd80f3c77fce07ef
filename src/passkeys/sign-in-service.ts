import type { PublicKeyCredentialRequestOptionsJSON } from "@simplewebauthn/server";
import { inTransaction } from "../database/transaction.ts";
import type { RequestOrigin } from "../lib/origin.ts";
import { countSignIn } from "../metrics/metrics.ts";
import {
  type Actor,
  type Caller,
  cookieFor,
  endFormer,
  findPerson,
  holdFormer,
  inSession,
  lockPerson,
  mailNewPlace,
  type Proved,
  readDevice,
  readSession,
  recordProof,
  renewSession,
  startSession,
} from "../sign-in/service.ts";
import { askForAnswer, checkAnswer, isActive } from "./answer-service.ts";
import { readAssertion } from "./assertion.ts";
import type { Ceremony } from "./challenge.ts";
import type { SessionDeps } from "./session-deps.ts";
import { findOwner, listOwnPasskeys } from "./store.ts";

const SIGNING_IN: Ceremony = { sessionId: undefined, purpose: "passkey:sign-in" };

type Person = Actor & { name: string };

/** The options of `navigator.credentials.get` at sign-in: any passkey of this site. */
export function askToSignIn(deps: SessionDeps): Promise<PublicKeyCredentialRequestOptionsJSON> {
  return askForAnswer(deps, SIGNING_IN, []);
}

/**
 * Signs in the person whose passkey has answered, with a new session, and ends the session that the browser brought.
 * One transaction locks the passkey, so that a concurrent removal of it ends this session too. The sign-in is a proof
 * of presence.
 * @returns the cookie to set; `undefined` when the answer is refused
 * @throws Problem rate_limited {retryAfterSeconds}
 */
export async function signInWithPasskey(
  deps: SessionDeps,
  credential: string,
  caller: Caller,
): Promise<string | undefined> {
  const { db, attempts } = deps;
  const counted = await attempts.countPasskey(caller.origin.address, readDevice(deps, caller.cookie));
  const assertion = readAssertion(credential);
  const former = await readSession(deps, caller.cookie, caller.origin);
  const token = await inTransaction(db, async (trx, now) => {
    const signingIn = { ceremony: SIGNING_IN, origin: caller.origin };
    // Invariant 11: the person and the session that the browser brought are locked before the passkey.
    const owner = assertion && (await findOwner(trx, Buffer.from(assertion.id, "base64url")));
    if (owner !== undefined) await lockPerson(trx, owner);
    await holdFormer(trx, former);
    const passkey = await checkAnswer(trx, deps, signingIn, assertion, now);
    const person = passkey && (await findPerson(trx, passkey.user_id));
    if (passkey === undefined || person === undefined) return undefined;
    await endFormer(trx, former);
    const who = { userId: person.id, name: person.name };
    await mailNewPlace(trx, deps, person, caller, now);
    return startSession(trx, who, caller, { by: "passkey", trusted: isActive(passkey, now) }, now);
  });
  if (token === undefined) {
    countSignIn("passkey", "refused");
    return undefined;
  }
  await counted.forgive();
  return cookieFor(deps, token);
}

/** The options of `navigator.credentials.get` for a signed-in person to prove their presence. */
export async function askForPresence(
  deps: SessionDeps,
  person: Person,
): Promise<PublicKeyCredentialRequestOptionsJSON> {
  return askForAnswer(deps, provingIn(person), await listOwnPasskeys(deps.db, person.userId));
}

/**
 * Proves presence by a passkey instead of the password, and replaces the session's token.
 * @returns `undefined` when the answer is refused
 * @throws Problem rate_limited {retryAfterSeconds}; session_ended, session_replaced
 */
export async function proveByPasskey(
  deps: SessionDeps,
  person: Person,
  credential: string,
  origin: RequestOrigin,
): Promise<Proved | undefined> {
  const { db, attempts } = deps;
  const counted = await attempts.countProof(person.userId);
  const assertion = readAssertion(credential);
  const proved = await inSession(db, person, { changes: "token" }, async (trx, now) => {
    const asked = { ceremony: provingIn(person), userId: person.userId, origin };
    const passkey = await checkAnswer(trx, deps, asked, assertion, now);
    const action = passkey === undefined ? "presence_refused" : "presence_proved";
    await recordProof(trx, person, { action, by: "passkey" }, origin, now);
    if (passkey === undefined) return undefined;
    const token = await renewSession(trx, person, { proved: true, trusted: isActive(passkey, now) }, now);
    return { provedAt: now, tokenDigest: token.digest, cookie: cookieFor(deps, token) };
  });
  if (proved !== undefined) await counted.forgive();
  return proved;
}

function provingIn({ sessionId }: Actor): Ceremony {
  return { sessionId, purpose: "passkey:presence" };
}
