import { line, type MailLine, named, own } from "../mail/line.ts";
import type { Addressee, Mail, MailConfig } from "../mail/service.ts";

/** Lines about acts in one mail. */
const LINES_AT_MOST = 20;

/** Tells an owner what tokens did to API keys and webhooks. */
export function actsMail(
  { appName, publicUrl }: MailConfig,
  to: Addressee,
  accountName: string,
  lines: readonly MailLine[],
): Mail {
  const more = lines.length - LINES_AT_MOST;
  return {
    to: to.email,
    subject: line`${own(appName)}: an agent changed API keys or webhooks of ${named(accountName)}`,
    paragraphs: [
      line`Agents changed API keys or webhooks of the account ${named(accountName)}:`,
      ...lines.slice(0, LINES_AT_MOST),
      ...(more > 0 ? [line`There were ${more} more changes.`] : []),
      line`If that is not right, revoke the API key that did it. Everything that it created ends with it.`,
      own(`${publicUrl}/settings/keys`),
    ],
  };
}
