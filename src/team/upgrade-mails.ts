import { formatTime } from "../lib/time.ts";
import { line, named, own, who } from "../mail/line.ts";
import type { Addressee, Mail, MailConfig } from "../mail/service.ts";

export type UpgradeSaid = { accountName: string; member: Addressee; role: string; effectiveAt: Date | null };

/** Mails a member that the operator asks for more rights for a member, and how to stop it. */
export function upgradeAskedMail(
  { appName, publicUrl }: MailConfig,
  to: Addressee,
  { accountName, member, role, effectiveAt }: UpgradeSaid,
): Mail {
  return {
    to: to.email,
    subject: line`${own(appName)}: the operator asks for a new ${own(role)} in ${named(accountName)}`,
    paragraphs: [
      line`The operator of this service asks to make ${who(member)} an ${own(role)} of the account ${named(accountName)}.`,
      effectiveAt === null
        ? line`It takes effect once an owner consents.`
        : line`No owner has signed in for 30 days. So it takes effect on ${own(formatTime(effectiveAt))}, unless an owner signs in or a member objects before then.`,
      line`Consent or object here:`,
      own(`${publicUrl}/settings/members`),
    ],
  };
}

/** Mails a member how an upgrade ended. */
export function upgradeEndedMail(
  { appName, publicUrl }: MailConfig,
  to: Addressee,
  { accountName, member, role, given }: Omit<UpgradeSaid, "effectiveAt"> & { given: boolean },
): Mail {
  const outcome = given
    ? line`is now an ${own(role)} of the account`
    : line`will not become an ${own(role)} of the account`;
  return {
    to: to.email,
    subject: given
      ? line`${own(appName)}: ${named(accountName)} has a new ${own(role)}`
      : line`${own(appName)}: no new ${own(role)} in ${named(accountName)}`,
    paragraphs: [
      line`${who(member)} ${outcome} ${named(accountName)}. The operator of this service had asked for it.`,
      line`See the members:`,
      own(`${publicUrl}/settings/members`),
    ],
  };
}
