import { brief, quoted } from "../lib/names.ts";
import type { Mail } from "../mail/service.ts";

export type MailConfig = { appName: string; publicUrl: string };

/** A mail holds at most so many lines about acts. */
const LINES_AT_MOST = 20;

/** Tells an owner what tokens did to API keys and webhooks. */
export function actsMail(
  { appName, publicUrl }: MailConfig,
  to: { email: string; name: string },
  accountName: string,
  lines: readonly string[],
): Mail {
  const more = lines.length - LINES_AT_MOST;
  return {
    to: to.email,
    subject: `${appName}: an agent changed API keys or webhooks of ${brief(accountName)}`,
    paragraphs: [
      `Hello ${brief(to.name)},`,
      `Agents changed API keys or webhooks of the account ${quoted(accountName)}:`,
      ...lines.slice(0, LINES_AT_MOST),
      ...(more > 0 ? [`There were ${more} more changes.`] : []),
      "If that is not right, revoke the API key that did it. Everything that it created ends with it.",
      `${publicUrl}/settings/keys`,
    ],
  };
}
