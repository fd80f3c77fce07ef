import { assignOwner } from "../accounts/ownership-service.ts";
import { assertNotFrozen, holdAccount } from "../accounts/service.ts";
import { byPerson, recordAudit } from "../audit/service.ts";
import { readClock, readClockNow } from "../database/clock.ts";
import type { Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { readSecret } from "../lib/secrets.ts";
import { queueMail } from "../mail/service.ts";
import {
  addPerson,
  type Caller,
  cookieFor,
  findPersonByEmail,
  hashInTurn,
  holdActor,
  type Person,
  type SignInDeps,
  startSession,
} from "../sign-in/service.ts";
import { announceMember } from "../team/joining-service.ts";
import { type ClaimState, claimState, isCode, LINK_PREFIX, PAGE_PREFIX } from "./claim-rules.ts";
import { claimedMail } from "./mails.ts";
import { claimedScopes, type Permissions } from "./schemas.ts";
import type { AgentAuthDeps } from "./service.ts";
import * as store from "./store.ts";

/** What the claim page shows. */
export type ClaimView = {
  accountId: string;
  /** Whether the mailed secret opened it; only that allows claiming. */
  mailed: boolean;
  state: ClaimState;
  /** The person whom the agent named. */
  email: string;
  /** Whether they have a sign-in: then they claim signed in, and set no password. */
  known: boolean;
  agentName: string | null;
  accountName: string;
  /** The agent's address and user agent. */
  address: string;
  userAgent: string;
  registeredAt: Date;
  expiresAt: Date;
};

/** Reads a claim and changes nothing; `undefined`: unknown, replaced, or gone with its account, all alike. */
export async function viewClaim({ db }: AgentAuthDeps, secret: string): Promise<ClaimView | undefined> {
  const page = readSecret(PAGE_PREFIX, secret);
  const link = readSecret(LINK_PREFIX, secret);
  const row = page ? await store.findByPage(db, page) : link && (await store.findByLink(db, link));
  if (row === undefined || row.email === null || row.attemptExpiresAt === null) return undefined;
  return {
    accountId: row.accountId,
    mailed: link !== undefined,
    state: claimState(row, await readClock(db)),
    email: row.email,
    known: (await findPersonByEmail(db, row.email)) !== undefined,
    agentName: row.agentName,
    accountName: row.accountName,
    address: row.address,
    userAgent: row.userAgent,
    registeredAt: row.createdAt,
    expiresAt: row.attemptExpiresAt,
  };
}

/** The person who claims: signed in under the named e-mail, or new. */
export type Claimant = Person | { name: string; password: string };

/** The outcome of a claim. `known`: the e-mail has a sign-in by now. The cookie signs a new person in. */
export type ClaimOutcome =
  | { claimed: true; cookie: string | undefined }
  | "over"
  | "known"
  | { triesLeft: number };

/**
 * Claims an account, once, with the secret that was mailed and the code that the agent shows: makes the person its
 * owner, creates their sign-in if they are new, sets the agent's scopes, and revokes every token of the account, in one
 * transaction. A wrong code is counted; the fifth ends the claim (docs/contract.md §6).
 * @throws Problem rate_limited, unavailable {retryAfterSeconds}; as `holdActor` for a signed-in person
 */
export async function claimAccount(
  deps: AgentAuthDeps & SignInDeps,
  secret: string,
  answer: { code: string; permissions: Permissions },
  claimant: Claimant,
  caller: Caller,
): Promise<ClaimOutcome> {
  const { db, config, agentLimits } = deps;
  const { origin } = caller;
  await agentLimits.countCode(origin.address);
  const credential = readSecret(LINK_PREFIX, secret);
  const found = credential && (await store.findByLink(db, credential));
  if (credential === undefined || found?.email == null) return "over";
  const { email, registrationId } = found;
  if ("userId" in claimant && claimant.email !== email) return "over";
  const hash = "password" in claimant ? await hashInTurn(deps, "stranger", claimant.password) : undefined;
  const { accountId } = credential;
  return inTransaction(db, async (trx, begun): Promise<ClaimOutcome> => {
    if ("userId" in claimant) await holdActor(trx, claimant, {}, begun);
    await holdAccount(trx, accountId);
    await assertNotFrozen(trx, accountId);
    const now = await readClockNow(trx);
    const row = await store.findByLink(trx, credential);
    if (row === undefined || claimState(row, now) !== "open") return "over";
    if (!isCode(secret, answer.code, row.codeDigest)) {
      await store.countWrongCode(trx, accountId);
      return { triesLeft: store.WRONG_CODES_AT_MOST - 1 - (row.wrongCodes ?? 0) };
    }
    const userId = await userOf(trx, claimant, { email, hash }, now);
    if (userId === undefined) return "known";
    const memberId = await assignOwner(trx, accountId, { userId, email, name: claimant.name }, now);
    const scopes = claimedScopes(answer.permissions);
    if (memberId === undefined || !(await store.markClaimed(trx, accountId, scopes, now))) {
      throw new TypeError("a claimable account could not be assigned to its owner");
    }
    const actor = byPerson({ userId, name: claimant.name });
    const subject = { kind: "member", id: memberId };
    const detail = { registrationId, scopes };
    await recordAudit(trx, { accountId, actor, action: "account_claimed", subject, detail, origin }, now);
    await queueMail(trx, claimedMail(config, email, registrationId), now);
    const { name } = claimant;
    const cookie =
      "userId" in claimant
        ? undefined
        : cookieFor(
            deps,
            await startSession(trx, { userId, name }, caller, { by: "claim", trusted: false }, now),
          );
    const member = { memberId, email, name, role: "owner" };
    await announceMember(trx, { accountId, organizationId: registrationId, ...member, claimed: true }, now);
    return { claimed: true, cookie };
  });
}

async function userOf(
  trx: Trx,
  claimant: Claimant,
  { email, hash }: { email: string; hash: string | undefined },
  now: Date,
): Promise<string | undefined> {
  if ("userId" in claimant) return claimant.userId;
  if (hash === undefined) throw new TypeError("a new person has a password");
  return addPerson(trx, { email, name: claimant.name, hash }, now);
}
