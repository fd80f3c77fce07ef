import type { ChangeTerms } from "../lib/statement.ts";
import { formatTime } from "../lib/time.ts";
import { line, type MailLine, named, own, who } from "../mail/line.ts";
import type { Addressee, Mail, MailConfig } from "../mail/service.ts";
import { describeChange } from "./change-terms.ts";

type Change = { by: Addressee; accountName: string; of: "member" | "policy"; terms: ChangeTerms };

/** Mails a decider that a change needs their agreement. */
export function changeAskedMail(
  { appName, publicUrl }: MailConfig,
  to: Addressee,
  { by, accountName, of, terms, expiresAt }: Change & { expiresAt: Date },
): Mail {
  return {
    to: to.email,
    subject: line`${own(appName)}: a change in ${named(accountName)} needs a second person`,
    paragraphs: [
      line`${who(by)} asks for this change in the account ${named(accountName)}:`,
      ...describedLines(terms),
      line`Two people must agree to it. It takes effect once another owner or approver agrees, before ${own(formatTime(expiresAt))}. Agree or refuse here:`,
      own(`${publicUrl}/${placeOf(of)}`),
    ],
  };
}

/** Mails the person who asked for a change that it was agreed to or refused. */
export function changeEndedMail(
  { appName, publicUrl }: MailConfig,
  to: Addressee,
  { by, accountName, of, terms, agreed }: Change & { agreed: boolean },
): Mail {
  const outcome = agreed ? line`agreed to` : line`refused`;
  return {
    to: to.email,
    subject: line`${own(appName)}: a change in ${named(accountName)} was ${outcome}`,
    paragraphs: [
      line`${who(by)} ${outcome} the change that you asked for in the account ${named(accountName)}:`,
      ...describedLines(terms),
      own(`${publicUrl}/${placeOf(of)}`),
    ],
  };
}

/** Where the change is decided. */
const placeOf = (of: "member" | "policy") => (of === "policy" ? "settings/policy" : "settings/members");

/** The change, value by value. */
export function describedLines(terms: ChangeTerms): MailLine[] {
  return describeChange(terms).map(({ label, from, to, userSupplied }) => {
    const value = userSupplied ? named : own;
    return from === undefined
      ? line`${own(label)}: ${value(to)}`
      : line`${own(label)}: ${value(from)} → ${value(to)}`;
  });
}
