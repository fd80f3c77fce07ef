import type { ChangeTerms } from "../lib/statement.ts";
import { formatTime } from "../lib/time.ts";
import { line, type MailLine, named, own, who } from "../mail/line.ts";
import type { Mail } from "../mail/service.ts";

type Context = { appName: string; publicUrl: string };
type Person = { email: string; name: string };

/** Mails a decider that a change needs their agreement. */
export function changeAskedMail(
  { appName, publicUrl }: Context,
  to: Person,
  {
    by,
    accountName,
    terms,
    expiresAt,
  }: { by: Person; accountName: string; terms: ChangeTerms; expiresAt: Date },
): Mail {
  return {
    to: to.email,
    subject: line`${own(appName)}: a change in ${named(accountName)} needs a second person`,
    paragraphs: [
      line`Hello,`,
      line`${who(by)} asks for this change in the account ${named(accountName)}:`,
      ...described(terms),
      line`Two people must agree to it. It takes effect once another owner or approver agrees, before ${own(formatTime(expiresAt))}. Agree or refuse here:`,
      own(`${publicUrl}/settings/members`),
    ],
  };
}

/** Mails the person who asked for a change that it was agreed to or refused. */
export function changeEndedMail(
  { appName, publicUrl }: Context,
  to: Person,
  {
    by,
    accountName,
    terms,
    agreed,
  }: { by: Person; accountName: string; terms: ChangeTerms; agreed: boolean },
): Mail {
  const outcome = agreed ? line`agreed to` : line`refused`;
  return {
    to: to.email,
    subject: line`${own(appName)}: a change in ${named(accountName)} was ${outcome}`,
    paragraphs: [
      line`Hello,`,
      line`${who(by)} ${outcome} the change that you asked for in the account ${named(accountName)}:`,
      ...described(terms),
      own(`${publicUrl}/settings/members`),
    ],
  };
}

const NAMES: Record<string, MailLine> = { name: line`name`, email: line`email`, role: line`role` };

/** The change, value by value. Each value may be user-supplied. */
function described({ from, to }: ChangeTerms): MailLine[] {
  return Object.entries(to).map(([key, value]) => {
    const label = NAMES[key] ?? named(key);
    const before = from?.[key];
    const now = named(String(value));
    if (before === undefined || before === value) return line`${label}: ${now}`;
    return line`${label}: ${named(String(before))} → ${now}`;
  });
}
