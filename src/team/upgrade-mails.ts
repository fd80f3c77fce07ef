import { formatTime } from "../lib/time.ts";
import { line, named, own, who } from "../mail/line.ts";
import type { Mail } from "../mail/service.ts";

type Context = { appName: string; publicUrl: string };
type Person = { email: string; name: string };

export type UpgradeSaid = { accountName: string; member: Person; role: string; effectiveAt: Date | null };

/** Mails a member that the operator asks for more rights for somebody, and how to stop that. */
export function upgradeAskedMail(
  { appName, publicUrl }: Context,
  to: Person,
  { accountName, member, role, effectiveAt }: UpgradeSaid,
): Mail {
  return {
    to: to.email,
    subject: line`${own(appName)}: a new ${own(role)} is asked for in ${named(accountName)}`,
    paragraphs: [
      line`Hello,`,
      line`The operator of this service asks to make ${who(member)} an ${own(role)} of the account ${named(accountName)}.`,
      effectiveAt === null
        ? line`An owner has to consent before this takes effect.`
        : line`No owner has signed in for 30 days, so this takes effect by itself on ${own(formatTime(effectiveAt))}, unless an owner signs in or any member objects before.`,
      line`Consent or object here:`,
      own(`${publicUrl}/settings/members`),
    ],
  };
}

/** Mails a member what became of it. */
export function upgradeEndedMail(
  { appName, publicUrl }: Context,
  to: Person,
  { accountName, member, role, given }: Omit<UpgradeSaid, "effectiveAt"> & { given: boolean },
): Mail {
  const outcome = given
    ? line`is an ${own(role)} of the account`
    : line`does not become an ${own(role)} of the account`;
  return {
    to: to.email,
    subject: given
      ? line`${own(appName)}: ${named(accountName)} has a new ${own(role)}`
      : line`${own(appName)}: no new ${own(role)} in ${named(accountName)}`,
    paragraphs: [
      line`Hello,`,
      line`${who(member)} ${outcome} ${named(accountName)}, as the operator of this service had asked.`,
      line`See who the members are:`,
      own(`${publicUrl}/settings/members`),
    ],
  };
}
