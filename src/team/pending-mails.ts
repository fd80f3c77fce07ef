import type { ChangeTerms } from "../lib/statement.ts";
import { formatTime } from "../lib/time.ts";
import { line, type MailLine, named, own, who } from "../mail/line.ts";
import type { Mail } from "../mail/service.ts";

type Context = { appName: string; publicUrl: string };
type Person = { email: string; name: string };

/** Mails somebody who may decide that a change waits for them to agree. */
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
    subject: line`${own(appName)}: a change of ${named(accountName)} needs a second person`,
    paragraphs: [
      line`Hello,`,
      line`${who(by)} asks for a change of the account ${named(accountName)}:`,
      ...described(terms),
      line`Two people must agree to it. It takes effect once another owner or approver has agreed, until ${own(formatTime(expiresAt))}. You can agree or refuse here:`,
      own(`${publicUrl}/settings/members`),
    ],
  };
}

/** Mails the person who asked for a change that it was agreed to, or refused. */
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
    subject: line`${own(appName)}: a change of ${named(accountName)} was ${agreed ? line`agreed to` : line`refused`}`,
    paragraphs: [
      line`Hello,`,
      line`${who(by)} has ${outcome} what you asked for in the account ${named(accountName)}:`,
      ...described(terms),
      own(`${publicUrl}/settings/members`),
    ],
  };
}

const NAMES: Record<string, MailLine> = { name: line`name`, email: line`e-mail`, role: line`role` };

/** What is changed, value by value: each was user-supplied, or may be by what carries this next. */
function described({ from, to }: ChangeTerms): MailLine[] {
  return Object.entries(to).map(([key, value]) => {
    const label = NAMES[key] ?? named(key);
    const before = from?.[key];
    const now = named(String(value));
    if (before === undefined || before === value) return line`${label}: ${now}`;
    return line`${label}: ${named(String(before))} → ${now}`;
  });
}
