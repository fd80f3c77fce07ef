import { line, type MailLine, named, own } from "../mail/line.ts";
import type { Addressee, Mail, MailConfig } from "../mail/service.ts";

/** What members are mailed about the operator's acts. */

export function operatorActMail(
  { appName, publicUrl }: MailConfig,
  to: Addressee,
  { accountName, what }: { accountName: string; what: readonly MailLine[] },
): Mail {
  return {
    to: to.email,
    subject: line`${own(appName)}: the operator has changed ${named(accountName)}`,
    paragraphs: [
      line`The operator of this service has changed the account ${named(accountName)}:`,
      ...what,
      line`If you did not expect this, ask the operator before you confirm anything. Your approvals:`,
      own(`${publicUrl}/approvals`),
    ],
  };
}
