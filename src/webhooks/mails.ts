import { brief, quoted } from "../lib/names.ts";
import type { Mail } from "../mail/service.ts";

/** What people are mailed about webhooks. */
type Context = { appName: string; publicUrl: string };
type Person = { email: string; name: string };
type Change = { by: Person; accountName: string; host: string };

const NOT_RIGHT = (publicUrl: string): string[] => [
  "If that is not right, delete it at once: whoever receives its events reads what happens in the account.",
  `${publicUrl}/settings/webhooks`,
];

export function webhookAddedMail(
  { appName, publicUrl }: Context,
  to: Person,
  { by, accountName, host }: Change,
): Mail {
  return {
    to: to.email,
    subject: `${appName}: a new webhook for ${brief(accountName)}`,
    paragraphs: [
      `Hello ${brief(to.name)},`,
      `${quoted(by.name)} (${by.email}) has added a webhook to the account ${quoted(accountName)}. Its events are sent to ` +
        `${quoted(host)} from now on.`,
      ...NOT_RIGHT(publicUrl),
    ],
  };
}

export function webhookSecretMail(
  { appName, publicUrl }: Context,
  to: Person,
  { by, accountName, host }: Change,
): Mail {
  return {
    to: to.email,
    subject: `${appName}: a webhook of ${brief(accountName)} has another secret`,
    paragraphs: [
      `Hello ${brief(to.name)},`,
      `${quoted(by.name)} (${by.email}) has replaced the secret of a webhook of the account ${quoted(accountName)}, ` +
        `which sends to ${quoted(host)}. Whoever has the new one can sign as this service does.`,
      ...NOT_RIGHT(publicUrl),
    ],
  };
}
