import type { PublicKeyCredentialRequestOptionsJSON } from "@simplewebauthn/server";
import { listMemberships } from "../accounts/member-service.ts";
import { byPerson, recordAudit } from "../audit/service.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { canonicalText } from "../lib/canonical.ts";
import type { Origin } from "../lib/origin.ts";
import { Problem } from "../lib/problems.ts";
import { type Change, changeStatement } from "../lib/statement.ts";
import { type Actor, cookieFor, type Held, isFresh, renewSession } from "../sign-in/service.ts";
import { askForAnswer, checkAnswer, isActive } from "./answer-service.ts";
import { readAssertion } from "./assertion.ts";
import type { Ceremony } from "./challenge.ts";
import type { SessionDeps } from "./session-deps.ts";
import { listPasskeys } from "./store.ts";

/** A change that a passkey signs where the account confirms with passkeys only (docs/contract.md §7). */
export type Act = Change;

/** The answer of the person's passkey, as JSON text, and where it came from. */
export type Signature = { credential: string | undefined; origin: Origin };

/** What the audit entry of the change keeps of the signature, so that it can be checked later. */
export type ActProof = { statement: object; proof: object };

/**
 * Whether a passkey must sign the person's changes: to the account, or, where none is named, to what they sign in
 * with. False for a person without an active passkey.
 */
export async function mustSign(db: Db, userId: string, accountId?: string): Promise<boolean> {
  return (await isDemanded(db, userId, accountId)) && (await listPasskeys(db, userId)).length > 0;
}

/** Whether the account, or any account of the person, confirms with passkeys only. */
export async function isDemanded(db: Db, userId: string, accountId?: string): Promise<boolean> {
  const memberships = await listMemberships(db, userId);
  return memberships.some(
    (own) => own.coSign === "passkey" && (accountId === undefined || own.accountId === accountId),
  );
}

/**
 * The options of `navigator.credentials.get` for an answer over the act by an active passkey of the person. The
 * challenge holds the digest of the statement, and is valid once, in this session, for 5 minutes.
 * @throws Problem passkeys_unavailable, passkey_proof_required when they have none
 */
export async function askToSign(
  deps: SessionDeps,
  person: Actor,
  act: Act,
): Promise<PublicKeyCredentialRequestOptionsJSON> {
  const passkeys = await listPasskeys(deps.db, person.userId);
  if (passkeys.length === 0) throw new Problem("passkey_proof_required");
  return askForAnswer(deps, signing(person, act), passkeys);
}

/**
 * Checks that an active passkey has signed the change, in the transaction that makes it. A recent sign-in is not
 * enough, as a copied cookie has it too. Where no passkey is demanded, or the person has no active one, it takes a
 * proof of presence younger than 5 minutes instead, in a trusted session where passkeys are demanded; the policy of
 * such an account changes by a passkey's signature alone. A passkey that is added in an untrusted session needs no
 * signature, as it stays inactive until owners consent.
 * @returns what the audit entry keeps, with the cookie to set; `undefined` when no signature was needed
 * @throws Problem act_signature_required, presence_expired, passkey_proof_required
 */
export async function proveAct(
  trx: Trx,
  deps: SessionDeps,
  person: Actor,
  held: Held,
  { act, signature }: { act: Act; signature: Signature },
  now: Date,
): Promise<(ActProof & { cookie: string }) | undefined> {
  const { credential } = signature;
  const mayWait = act.action === "passkey" && !held.trusted && !credential;
  if (mayWait || !(await mustSign(trx, person.userId, act.accountId))) {
    if (!isFresh(held, now)) throw new Problem("presence_expired");
    // Without this, a password alone could end the requirement of passkeys.
    const trusted = held.trusted && act.action !== "policy";
    if (!mayWait && !trusted && (await isDemanded(trx, person.userId, act.accountId)))
      throw new Problem("passkey_proof_required");
    return undefined;
  }
  const assertion = readAssertion(credential ?? "");
  const asked = { ceremony: signing(person, act), userId: person.userId, origin: signature.origin };
  const passkey = await checkAnswer(trx, deps, asked, assertion, now);
  if (assertion === undefined || passkey === undefined || !isActive(passkey, now))
    throw new Problem("act_signature_required");
  const token = await renewSession(trx, person, { proved: true, trusted: true }, now);
  const publicKey = passkey.public_key.toString("base64url");
  const proof = { kind: "passkey", credentialId: assertion.id, publicKey, ...assertion.response };
  return { statement: changeStatement(act), proof, cookie: cookieFor(deps, token) };
}

const REFUSALS: ReadonlySet<string> = new Set([
  "act_signature_required",
  "passkey_proof_required",
  "passkey_refused",
]);

/**
 * Runs a change that a passkey may have to sign. Records a refused signature in a transaction of its own, as the one
 * that refused it rolls back.
 * @throws what `change` throws
 */
export async function recordRefusedActs<T>(
  db: Db,
  person: Actor & { name: string },
  { act, origin }: { act: Act; origin: Origin },
  change: () => Promise<T>,
): Promise<T> {
  try {
    return await change();
  } catch (error) {
    if (error instanceof Problem && REFUSALS.has(error.problem)) {
      const { action, accountId, terms } = act;
      const detail = { act: action, terms, reason: error.problem };
      const entry = { ...(accountId !== undefined && { accountId }), actor: byPerson(person), origin };
      await inTransaction(db, (trx, now) =>
        recordAudit(trx, { ...entry, action: "act_signature_refused", detail }, now),
      );
    }
    throw error;
  }
}

/** What the audit entry keeps of a signature; empty where none was needed. */
export function keptOf(signed: ActProof | undefined): object {
  return signed === undefined ? {} : { statement: signed.statement, proof: signed.proof };
}

function signing({ sessionId }: Actor, act: Act): Ceremony {
  return { sessionId, purpose: canonicalText(changeStatement(act)) };
}
