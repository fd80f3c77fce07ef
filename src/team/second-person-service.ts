import { byPerson, recordAudit } from "../audit/service.ts";
import type { Trx } from "../database/connection.ts";
import { Problem } from "../lib/problems.ts";
import type { Change } from "../lib/statement.ts";
import { queueMail } from "../mail/service.ts";
import type { SessionDeps } from "../passkeys/session-deps.ts";
import { keptOf, proveAct, recordRefusedActs, type Signature } from "../passkeys/signed-act-service.ts";
import { type Held, inSession, type Person } from "../sign-in/service.ts";
import { consentNow } from "./invitation-service.ts";
import { changeRoleNow, inviteNow } from "./member-service.ts";
import type { Step } from "./owner-service.ts";
import { changeEndedMail } from "./pending-mails.ts";
import { findPendingChange, type PendingChange } from "./pending-service.ts";
import * as store from "./pending-store.ts";
import { changePolicyNow, policyChangeIn } from "./policy-service.ts";
import { consentToUpgradeNow } from "./upgrade-service.ts";

/** The outcome of a change; `invited`: the person whom it invited, with the secret of the invitation. */
export type ChangeDecided = {
  decided: boolean;
  cookie?: string | undefined;
  invited?: { email: string; name: string; secret: string };
};

/** What the second person signs: the same statement as the first. */
export function pendingAct({ accountId, action, terms }: PendingChange): Change {
  return { action, accountId, terms };
}

/**
 * A second decider agrees to a change, which takes effect then. Any decider may refuse it, and the person who asked
 * may withdraw it, without a further proof (docs/contract.md §1, Two people).
 * @returns `decided: false` when it is decided or expired, or when the person who asked is no longer an owner
 * @throws Problem not_permitted when they agree to their own change, account_frozen; what the change throws; as
 * `proveAct` and `holdActor`
 */
export async function decideChange(
  deps: SessionDeps,
  person: Person,
  account: { accountId: string; accountName: string },
  { changeId, agrees }: { changeId: string; agrees: boolean },
  signature: Signature,
): Promise<ChangeDecided> {
  const { accountId } = account;
  const shown = await findPendingChange(deps.db, accountId, changeId);
  if (shown === undefined) return { decided: false };
  const act = pendingAct(shown);
  const { origin } = signature;
  const need = {
    ...(agrees ? { changes: "token" as const } : {}),
    account: { id: accountId, may: "decide", alone: true, unfrozen: agrees },
  } as const;
  const decide = async (trx: Trx, now: Date, held: Held): Promise<ChangeDecided> => {
    const change = await store.findOpen(trx, accountId, changeId, now);
    if (change === undefined) return { decided: false };
    const own = change.askedBy === person.userId;
    if (agrees && own) throw new Problem("not_permitted");
    const signed = agrees ? await proveAct(trx, deps, person, held, { act, signature }, now) : undefined;
    const outcome = agrees ? "agreed" : own ? "withdrawn" : "refused";
    await store.endChange(trx, { accountId, id: changeId }, outcome, person.userId, now);
    const proof = keptOf(signed);
    const subject = { kind: "pending_change", id: changeId };
    const detail = { outcome, of: change.terms.subject, askedBy: change.askedBy, ...proof };
    const action = agrees ? "change_agreed" : "change_refused";
    await recordAudit(trx, { accountId, actor: byPerson(person), action, subject, detail, origin }, now);
    const step = { trx, now, owner: person, account, origin, proof: { pendingChange: changeId } };
    const invited = agrees ? await carryOut(step, deps, change) : undefined;
    if (!own) {
      const to = { email: change.askedByEmail, name: change.askedByName };
      const { action: of, terms } = change;
      const said = { by: person, accountName: account.accountName, of, terms, agreed: agrees };
      await queueMail(trx, changeEndedMail(deps.config, to, said), now);
    }
    return { decided: true, cookie: signed?.cookie, ...(invited && { invited }) };
  };
  return recordRefusedActs(deps.db, person, { act, origin }, () => inSession(deps.db, person, need, decide));
}

async function carryOut(
  step: Step,
  deps: SessionDeps,
  { request, terms, askedBy }: PendingChange,
): Promise<ChangeDecided["invited"] | undefined> {
  switch (request.kind) {
    case "invite": {
      const { email, name, role } = request;
      return { email, name, secret: await inviteNow(step, deps, { email, name, role }, askedBy) };
    }
    case "role": {
      await changeRoleNow(step, deps, request);
      return undefined;
    }
    case "upgrade": {
      if (!(await consentToUpgradeNow(step, deps.config, request.upgradeId)))
        throw new Problem("statement_stale");
      return undefined;
    }
    case "policy": {
      await changePolicyNow(step, deps, policyChangeIn(terms));
      return undefined;
    }
    case "consent": {
      if ((await consentNow(step, request, askedBy)) === undefined) throw new Problem("statement_stale");
      return undefined;
    }
  }
}
