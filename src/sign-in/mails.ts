import { brief } from "../lib/names.ts";
import type { Mail } from "../mail/service.ts";

/** What people are mailed about their sign-in. */
type Context = { appName: string; publicUrl: string };
type Person = { email: string; name: string };

const NOT_YOU = (publicUrl: string): string[] => [
  "If that was not you, ask for a new password at once:",
  `${publicUrl}/reset`,
];

export function resetMail({ appName, publicUrl }: Context, person: Person, secret: string): Mail {
  return {
    to: person.email,
    routine: true,
    subject: `A new password for ${appName}`,
    paragraphs: [
      `Hello ${brief(person.name)},`,
      "Somebody, probably you, asked for a new password. Choose one within an hour, on this page:",
      `${publicUrl}/reset/new?token=${secret}`,
      "If it was not you, do nothing: your password stays as it is.",
    ],
  };
}

export function passwordChangedMail(
  { appName, publicUrl }: Context,
  person: Person,
  { passkeysRemoved }: { passkeysRemoved: number },
): Mail {
  return {
    to: person.email,
    subject: `Your password for ${appName} was changed`,
    paragraphs: [
      `Hello ${brief(person.name)},`,
      "Your password was changed just now, and you were signed out everywhere else.",
      ...(passkeysRemoved > 0
        ? ["Passkeys that waited for an owner’s consent are removed: add yours again."]
        : []),
      ...NOT_YOU(publicUrl),
    ],
  };
}

export function passwordResetMail({ appName, publicUrl }: Context, person: Person): Mail {
  return {
    to: person.email,
    subject: `Your password for ${appName} was reset`,
    paragraphs: [
      `Hello ${brief(person.name)},`,
      "A new password was set with the link that was mailed to you, and every session was signed out.",
      ...NOT_YOU(publicUrl),
    ],
  };
}

/** To a person whose session was ended because a replaced cookie of it was used. */
export function sessionCopiedMail({ appName, publicUrl }: Context, person: Person): Mail {
  return {
    to: person.email,
    subject: `You were signed out of ${appName}: an old cookie was used`,
    paragraphs: [
      `Hello ${brief(person.name)},`,
      "A browser sent a sign-in cookie that had been replaced. Someone may have copied it, so we ended that session. Nothing was confirmed or changed with the old cookie.",
      "If you restored a browser or a backup, this was you: sign in again. If not, set a new password, and check where you are signed in:",
      `${publicUrl}/reset`,
    ],
  };
}
