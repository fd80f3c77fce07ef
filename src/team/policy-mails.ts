import type { ChangeTerms } from "../lib/statement.ts";
import { line, named, own, who } from "../mail/line.ts";
import type { Addressee, Mail, MailConfig } from "../mail/service.ts";
import { describedLines } from "./pending-mails.ts";

/** Tells an owner what has changed in the account's policy. */
export function policyChangedMail(
  { appName, publicUrl }: MailConfig,
  to: Addressee,
  { by, accountName, terms }: { by: Addressee; accountName: string; terms: ChangeTerms },
): Mail {
  return {
    to: to.email,
    subject: line`${own(appName)}: the policy of ${named(accountName)} has changed`,
    paragraphs: [
      line`${who(by)} changed how payments are confirmed in the account ${named(accountName)}:`,
      ...describedLines(terms),
      line`If that’s wrong, change it at once:`,
      own(`${publicUrl}/settings/policy`),
    ],
  };
}
