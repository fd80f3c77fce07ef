import { brief, quoted } from "../lib/names.ts";
import { formatTime } from "../lib/time.ts";
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
  const who = `${quoted(member.name)} (${member.email})`;
  return {
    to: to.email,
    subject: `${appName}: a new ${role} is asked for in ${brief(accountName)}`,
    paragraphs: [
      `Hello ${brief(to.name)},`,
      `The operator of this service asks to make ${who} an ${role} of the account ${quoted(accountName)}.`,
      effectiveAt === null
        ? "An owner has to consent before this takes effect."
        : `No owner has signed in for 30 days, so this takes effect by itself on ${formatTime(effectiveAt)}, unless an owner signs in or any member objects before.`,
      "Consent or object here:",
      `${publicUrl}/settings/members`,
    ],
  };
}

/** Mails a member what became of it. */
export function upgradeEndedMail(
  { appName, publicUrl }: Context,
  to: Person,
  { accountName, member, role, given }: Omit<UpgradeSaid, "effectiveAt"> & { given: boolean },
): Mail {
  const who = `${quoted(member.name)} (${member.email})`;
  const outcome = given ? `is an ${role} of the account` : `does not become an ${role} of the account`;
  return {
    to: to.email,
    subject: given
      ? `${appName}: ${brief(accountName)} has a new ${role}`
      : `${appName}: no new ${role} in ${brief(accountName)}`,
    paragraphs: [
      `Hello ${brief(to.name)},`,
      `${who} ${outcome} ${quoted(accountName)}, as the operator of this service had asked.`,
      "See who the members are:",
      `${publicUrl}/settings/members`,
    ],
  };
}
