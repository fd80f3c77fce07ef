import { findMember, listMembers, listOwners, type MemberRow, setRole } from "../accounts/member-service.ts";
import { type DecidingRole, raisesRights } from "../accounts/roles.ts";
import { getAccount, holdAccount, holdFrozen } from "../accounts/service.ts";
import { type Act, BY_SERVICE, byPerson, recordAudit } from "../audit/service.ts";
import type { Db, Trx } from "../database/connection.ts";
import type { UpgradeOutcome } from "../database/schema.ts";
import { inTransaction } from "../database/transaction.ts";
import { sweepEach } from "../jobs/sweep.ts";
import { isUuid, newId } from "../lib/ids.ts";
import type { Origin } from "../lib/origin.ts";
import { Problem } from "../lib/problems.ts";
import { addSeconds, DAY_SECONDS } from "../lib/time.ts";
import { type MailConfig, queueMail } from "../mail/service.ts";
import type { SessionDeps } from "../passkeys/session-deps.ts";
import {
  keptOf,
  proveAct,
  recordRefusedActs,
  type Signature,
  type Act as SignedAct,
} from "../passkeys/signed-act-service.ts";
import { type Actor, type Held, inSession } from "../sign-in/service.ts";
import type { Step } from "./owner-service.ts";
import { askForSecondPerson, needsSecondPerson } from "./pending-service.ts";
import { type UpgradeSaid, upgradeAskedMail, upgradeEndedMail } from "./upgrade-mails.ts";
import * as store from "./upgrade-store.ts";

export type Upgrade = store.UpgradeRow;
type Deps = { db: Db; config: MailConfig };
type Account = { accountId: string; accountName: string };
type Person = Actor & { name: string };

/** After this long without a sign-in by an owner, no owner counts as able to consent. */
const OWNERS_AWAY_SECONDS = 30 * DAY_SECONDS;
const EFFECTIVE_AFTER_SECONDS = 3 * DAY_SECONDS;
const SWEPT_AT_MOST = 500;

/**
 * Records that the operator asks for more rights for an active member (docs/contract.md §8), and mails all members. The
 * caller holds the account, has checked that it has an owner, and records the audit entry.
 * @returns when it takes effect without consent; null: it needs an owner's consent
 */
export async function askForUpgrade(
  trx: Trx,
  config: Deps["config"],
  { accountId, accountName }: Account,
  member: MemberRow,
  role: DecidingRole,
  now: Date,
): Promise<Date | null> {
  await store.endOpen(trx, { accountId, memberId: member.id }, "withdrawn", now);
  const away = !(await ownersSignedIn(trx, accountId, addSeconds(now, -OWNERS_AWAY_SECONDS)));
  const effectiveAt = away ? addSeconds(now, EFFECTIVE_AFTER_SECONDS) : null;
  await store.insertUpgrade(trx, { accountId, id: newId(), memberId: member.id, role, effectiveAt }, now);
  await mailAsked(trx, config, accountId, { accountName, member, role, effectiveAt }, now);
  return effectiveAt;
}

/**
 * Refuses to remove the last owner who could consent or object. Otherwise the remaining owners would all count as
 * away, and the operator's own upgrades would take effect without consent. The caller holds the account.
 * @throws Problem last_owner
 */
export async function assertOwnerStays(
  trx: Trx,
  accountId: string,
  { id }: Pick<MemberRow, "id">,
  now: Date,
): Promise<void> {
  const since = addSeconds(now, -OWNERS_AWAY_SECONDS);
  if ((await ownersSignedIn(trx, accountId, since)) && !(await ownersSignedIn(trx, accountId, since, id)))
    throw new Problem("last_owner");
}

/** Ends the member's open upgrade. The caller holds the account. @returns whether there was one */
export async function withdrawUpgrade(
  trx: Trx,
  accountId: string,
  memberId: string,
  now: Date,
): Promise<boolean> {
  return (await store.endOpen(trx, { accountId, memberId }, "withdrawn", now)) !== undefined;
}

/** The open upgrades of the account that an owner's sign-in has not ended. */
export async function listUpgrades(db: Db, accountId: string): Promise<Upgrade[]> {
  const open = await store.listOpen(db, accountId);
  const standing = await Promise.all(open.map(async (one) => !(await endedBySignIn(db, one))));
  return open.filter((_, i) => standing[i]);
}

/** An upgrade that an owner may decide, or a member object to; `undefined` when it has ended. */
export async function findUpgrade(db: Db, accountId: string, id: string): Promise<Upgrade | undefined> {
  const upgrade = isUuid(id) ? await store.findOpen(db, accountId, id) : undefined;
  return upgrade === undefined || (await endedBySignIn(db, upgrade)) ? undefined : upgrade;
}

/** What an owner signs to consent to an upgrade. */
export function upgradeAct({
  accountId,
  id,
  memberName: name,
  memberEmail: email,
  ...upgrade
}: Upgrade): SignedAct {
  const person = { name, email };
  const [from, to] = [
    { ...person, role: upgrade.memberRole },
    { ...person, role: upgrade.role },
  ];
  return { action: "member", accountId, terms: { subject: { kind: "upgrade", id }, from, to } };
}

/**
 * An owner consents to an upgrade or refuses it. A passkey signs the consent where the account confirms with passkeys
 * only. A frozen account can only refuse.
 * @returns whether it was still open; `pending` where a second person must agree first; the cookie of a session that
 * the signature has renewed
 * @throws as `proveAct` and `holdActor`
 */
export async function decideUpgrade(
  deps: SessionDeps,
  owner: Person,
  account: Account,
  { upgradeId, consents }: { upgradeId: string; consents: boolean },
  signature: Signature,
): Promise<{ decided: boolean; pending?: true; cookie?: string | undefined }> {
  const { accountId } = account;
  const need = {
    ...(consents ? { changes: "token" as const } : { fresh: true }),
    account: { id: accountId, may: "own", alone: true, unfrozen: consents },
  } as const;
  const shown = await findUpgrade(deps.db, accountId, upgradeId);
  if (shown === undefined) return { decided: false };
  const act = upgradeAct(shown);
  const { origin } = signature;
  const decide = async (trx: Trx, now: Date, held: Held) => {
    const signed = consents ? await proveAct(trx, deps, owner, held, { act, signature }, now) : undefined;
    const cookie = signed?.cookie;
    const upgrade = await findUpgrade(trx, accountId, upgradeId);
    if (upgrade === undefined) return { decided: false, cookie };
    if (consents && (await needsSecondPerson(trx, accountId, owner.userId, { operatorAsks: true }))) {
      const request = { kind: "upgrade", upgradeId } as const;
      const kept = keptOf(signed);
      await askForSecondPerson(trx, deps.config, { account, by: owner, act, request, kept, origin }, now);
      return { decided: true, pending: true as const, cookie };
    }
    const outcome = consents ? "consented" : "refused";
    const by = { actor: byPerson(owner), origin };
    await end(trx, deps.config, account, upgrade, outcome, by, now, keptOf(signed));
    return { decided: true, cookie };
  };
  return recordRefusedActs(deps.db, owner, { act, origin }, () => inSession(deps.db, owner, need, decide));
}

/**
 * Consents to an upgrade, in the transaction of the last person who must agree.
 * @returns `false` when it has ended
 */
export async function consentToUpgradeNow(
  step: Step,
  config: Deps["config"],
  upgradeId: string,
): Promise<boolean> {
  const { trx, now, owner, account, origin, proof } = step;
  const upgrade = await findUpgrade(trx, account.accountId, upgradeId);
  if (upgrade === undefined) return false;
  await end(trx, config, account, upgrade, "consented", { actor: byPerson(owner), origin }, now, proof);
  return true;
}

/**
 * Any member objects to an upgrade that would take effect without an owner.
 * @returns `false` when it has ended, or needs an owner's consent
 * @throws as `holdActor`
 */
export function objectToUpgrade(
  deps: Deps,
  person: Person,
  account: Account,
  upgradeId: string,
  origin: Origin,
): Promise<boolean> {
  const need = { account: { id: account.accountId, may: "read", alone: true } } as const;
  return inSession(deps.db, person, need, async (trx, now) => {
    const upgrade = await findUpgrade(trx, account.accountId, upgradeId);
    if (upgrade === undefined || upgrade.effectiveAt === null) return false;
    await end(trx, deps.config, account, upgrade, "objected", { actor: byPerson(person), origin }, now);
    return true;
  });
}

/**
 * Advances the timed upgrades of accounts that are not frozen. Ends those that an owner's sign-in has ended, gives
 * the role after 72 hours, and until then mails all members each day. One account a transaction.
 */
export async function sweepUpgrades({ db, config }: Deps): Promise<void> {
  await sweepEach(await store.listTimed(db, SWEPT_AT_MOST), ({ accountId, id }) =>
    inTransaction(db, async (trx, now) => {
      await holdAccount(trx, accountId);
      if (await holdFrozen(trx, accountId)) return;
      const upgrade = await store.findOpen(trx, accountId, id);
      if (upgrade?.effectiveAt == null) return;
      const accountName = await nameOfAccount(trx, upgrade);
      const account = { accountId, accountName };
      if (await endedBySignIn(trx, upgrade)) {
        await end(trx, config, account, upgrade, "owner_signed_in", BY_SERVICE, now);
      } else if (upgrade.effectiveAt <= now) {
        await end(trx, config, account, upgrade, "effective", BY_SERVICE, now);
      } else if (upgrade.mailedAt <= addSeconds(now, -DAY_SECONDS)) {
        await store.markMailed(trx, upgrade, now);
        await mailAsked(trx, config, accountId, saidOf(upgrade, accountName), now);
      }
    }),
  );
}

async function end(
  trx: Trx,
  config: Deps["config"],
  { accountId, accountName }: Account,
  upgrade: Upgrade,
  outcome: UpgradeOutcome,
  act: Act,
  now: Date,
  kept: object = {},
): Promise<void> {
  const { memberId, role } = upgrade;
  await store.endOpen(trx, { accountId, memberId }, outcome, now);
  const member = await findMember(trx, accountId, memberId);
  const wanted = outcome === "consented" || outcome === "effective";
  const given = wanted && member !== undefined && raisesRights(member.role, role);
  if (given) await setRole(trx, accountId, member, role, now);
  await recordAudit(
    trx,
    {
      accountId,
      ...act,
      action: given ? "member_role_changed" : "member_upgrade_ended",
      subject: { kind: "member", id: memberId },
      ...(given ? { before: { role: member.role }, after: { role } } : {}),
      detail: { upgradeId: upgrade.id, role, outcome, ...kept },
    },
    now,
  );
  const said = { ...saidOf(upgrade, accountName), given };
  for (const to of await listActive(trx, accountId))
    await queueMail(trx, upgradeEndedMail(config, to, said), now);
}

/** Whether an owner has signed in since, which ends an upgrade that would take effect without consent. */
async function endedBySignIn(db: Db, { accountId, effectiveAt, askedAt }: Upgrade): Promise<boolean> {
  return effectiveAt !== null && (await ownersSignedIn(db, accountId, askedAt));
}

async function ownersSignedIn(db: Db, accountId: string, since: Date, except?: string): Promise<boolean> {
  const owners = (await listOwners(db, accountId)).filter(({ id }) => id !== except);
  return store.hasSignedIn(
    db,
    owners.flatMap(({ userId }) => userId ?? []),
    since,
  );
}

async function mailAsked(
  trx: Trx,
  config: Deps["config"],
  accountId: string,
  said: UpgradeSaid,
  now: Date,
): Promise<void> {
  for (const to of await listActive(trx, accountId))
    await queueMail(trx, upgradeAskedMail(config, to, said), now);
}

async function listActive(db: Db, accountId: string) {
  return (await listMembers(db, accountId)).filter(({ status }) => status === "active");
}

function saidOf({ memberName: name, memberEmail: email, role, effectiveAt }: Upgrade, accountName: string) {
  return { accountName, member: { name, email }, role, effectiveAt };
}

async function nameOfAccount(db: Db, { accountId }: Upgrade): Promise<string> {
  return (await getAccount(db, accountId, "")).name;
}
