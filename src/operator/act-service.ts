import { listOwners } from "../accounts/member-service.ts";
import { getAccount } from "../accounts/service.ts";
import type { AuditAction } from "../audit/schemas.ts";
import { type Act, recordAudit } from "../audit/service.ts";
import type { Trx } from "../database/connection.ts";
import type { MailLine } from "../mail/line.ts";
import { type Addressee, type MailConfig, queueMail } from "../mail/service.ts";
import { operatorActMail } from "./mails.ts";

type Values = Record<string, unknown>;

/**
 * Records an act of the operator's in its own transaction: of the values before and after only those that differ. An act
 * that changed nothing leaves no entry.
 * @param before absent: the subject was created
 * @returns whether anything changed
 */
export async function recordAct(
  trx: Trx,
  accountId: string,
  act: Act,
  entry: {
    action: AuditAction;
    subject: { kind: string; id: string };
    before?: Values | undefined;
    after: Values;
  },
  now: Date,
): Promise<boolean> {
  const { action, subject } = entry;
  const all = Object.keys(entry.after);
  const keys =
    entry.before === undefined ? all : all.filter((key) => !isEqual(entry.before?.[key], entry.after[key]));
  if (entry.before !== undefined && keys.length === 0) return false;
  const before = entry.before === undefined ? undefined : pick(entry.before, keys);
  await recordAudit(
    trx,
    { accountId, ...act, action, subject, ...(before && { before }), after: pick(entry.after, keys) },
    now,
  );
  return true;
}

/**
 * Mails each owner of the account what the operator has just done.
 * @param concerned who is mailed too, an owner by now or not
 */
export async function mailOwners(
  trx: Trx,
  config: MailConfig,
  { accountId, organizationId }: { accountId: string; organizationId: string },
  what: readonly MailLine[],
  now: Date,
  concerned?: Addressee,
): Promise<void> {
  const { name } = await getAccount(trx, accountId, organizationId);
  const people = [...(await listOwners(trx, accountId)), ...(concerned === undefined ? [] : [concerned])];
  for (const to of new Map(people.map((person) => [person.email, person])).values())
    await queueMail(trx, operatorActMail(config, to, { accountName: name, what }), now);
}

function isEqual(one: unknown, other: unknown): boolean {
  return JSON.stringify(one ?? null) === JSON.stringify(other ?? null);
}

function pick(values: Values, keys: readonly string[]): Values {
  return Object.fromEntries(keys.map((key) => [key, values[key] ?? null]));
}
