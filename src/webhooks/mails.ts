import { line, type MailLine, named, own, who } from "../mail/line.ts";
import type { Addressee, Mail, MailConfig } from "../mail/service.ts";

type Change = { by: Addressee; accountName: string; host: string };

const NOT_RIGHT = (publicUrl: string): MailLine[] => [
  line`If you don't expect this, delete it at once: its receiver can read what happens in the account.`,
  own(`${publicUrl}/settings/webhooks`),
];

export function webhookAddedMail(
  { appName, publicUrl }: MailConfig,
  to: Addressee,
  { by, accountName, host }: Change,
): Mail {
  return {
    to: to.email,
    subject: line`${own(appName)}: a new webhook for ${named(accountName)}`,
    paragraphs: [
      line`${who(by)} has added a webhook to the account ${named(accountName)}. Its events are sent to ${named(host)} from now on.`,
      ...NOT_RIGHT(publicUrl),
    ],
  };
}

export function webhookDeletedMail(
  { appName, publicUrl }: MailConfig,
  to: Addressee,
  { by, accountName, host }: Change,
): Mail {
  return {
    to: to.email,
    subject: line`${own(appName)}: a webhook of ${named(accountName)} was deleted`,
    paragraphs: [
      line`${who(by)} has deleted a webhook of the account ${named(accountName)}. Nothing is sent to ${named(host)} any more.`,
      line`If that is not right, add it again, and see who the members are:`,
      own(`${publicUrl}/settings/webhooks`),
    ],
  };
}

export function webhookSecretMail(
  { appName, publicUrl }: MailConfig,
  to: Addressee,
  { by, accountName, host }: Change,
): Mail {
  return {
    to: to.email,
    subject: line`${own(appName)}: a webhook of ${named(accountName)} has another secret`,
    paragraphs: [
      line`${who(by)} has replaced the secret of a webhook of the account ${named(accountName)}, which sends to ${named(host)}. Anyone who has the new secret can sign events as this service does.`,
      ...NOT_RIGHT(publicUrl),
    ],
  };
}
