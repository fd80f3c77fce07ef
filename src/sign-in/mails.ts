import { line, type MailLine, named, own } from "../mail/line.ts";
import type { Addressee, Mail, MailConfig } from "../mail/service.ts";

/** Mails about a person's sign-in. */

const NOT_YOU = (publicUrl: string): MailLine[] => [
  line`If that wasn’t you, reset your password at once:`,
  own(`${publicUrl}/reset`),
];

export function resetMail({ appName, publicUrl }: MailConfig, person: Addressee, secret: string): Mail {
  return {
    to: person.email,
    routine: true,
    subject: line`A new password for ${own(appName)}`,
    paragraphs: [
      line`We received a request to reset your password. Choose a new one within an hour:`,
      own(`${publicUrl}/reset/new?token=${secret}`),
      line`If that wasn’t you, do nothing: your password stays as it is.`,
    ],
  };
}

export function passwordChangedMail(
  { appName, publicUrl }: MailConfig,
  person: Addressee,
  { passkeysRemoved }: { passkeysRemoved: number },
): Mail {
  return {
    to: person.email,
    subject: line`Your password for ${own(appName)} was changed`,
    paragraphs: [
      line`Your password was changed, and you were signed out everywhere else.`,
      ...(passkeysRemoved > 0
        ? [line`Passkeys that needed an owner’s consent were removed. Add yours again.`]
        : []),
      ...NOT_YOU(publicUrl),
    ],
  };
}

export function passwordResetMail({ appName, publicUrl }: MailConfig, person: Addressee): Mail {
  return {
    to: person.email,
    subject: line`Your password for ${own(appName)} was reset`,
    paragraphs: [
      line`Your password was reset with the link that we mailed you, and you were signed out everywhere.`,
      ...NOT_YOU(publicUrl),
    ],
  };
}

/** To a person who signed in with a browser that they had not signed in with before. */
export function newPlaceMail(
  { appName, publicUrl }: MailConfig,
  person: Addressee,
  { browser, near, address, at }: { browser: string; near: string | undefined; address: string; at: string },
): Mail {
  const where = near === undefined ? line`` : line`, ${own(near)} by its time zone`;
  return {
    to: person.email,
    subject: line`New sign-in to ${own(appName)}: ${named(browser)}`,
    paragraphs: [
      line`A browser that we hadn’t seen before signed in as you at ${own(appName)}: ${named(browser)}${where}, from the address ${own(address)}, on ${own(at)}.`,
      line`If that was you, there’s nothing to do.`,
      ...NOT_YOU(publicUrl),
    ],
  };
}

/** To a person whose session was ended because a replaced cookie of it was used. */
export function sessionCopiedMail({ appName, publicUrl }: MailConfig, person: Addressee): Mail {
  return {
    to: person.email,
    subject: line`You were signed out of ${own(appName)}: an old cookie was used`,
    paragraphs: [
      line`A browser sent a sign-in cookie that had been replaced. Someone may have copied it, so we ended that session. Nothing was confirmed or changed with the old cookie.`,
      line`If you restored a browser or a backup, this was you: sign in again. If not, set a new password, and check where you are signed in:`,
      own(`${publicUrl}/reset`),
    ],
  };
}
