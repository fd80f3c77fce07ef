import { formatTime } from "../lib/time.ts";
import { line, named, own, who } from "../mail/line.ts";
import type { Addressee, Mail, MailConfig } from "../mail/service.ts";

export function passkeyAddedMail(
  { appName, publicUrl }: MailConfig,
  person: Addressee,
  { name, trusted }: { name: string; trusted: boolean },
): Mail {
  return {
    to: person.email,
    subject: line`A passkey for ${own(appName)} was added`,
    paragraphs: [
      line`The passkey ${named(name)} signs you in from now on. You were signed out everywhere else.`,
      ...(trusted
        ? [
            line`If that wasn’t you, reset your password at once, then remove the passkey under Settings → Security:`,
          ]
        : [
            line`Only your password vouched for it, so it can’t confirm payments until an owner of each of your accounts has agreed to it.`,
            line`If that wasn’t you, reset your password at once. This also removes the passkey:`,
          ]),
      own(`${publicUrl}/reset`),
    ],
  };
}

export function passkeyRemovedMail(
  { appName, publicUrl }: MailConfig,
  person: Addressee,
  { name }: { name: string },
): Mail {
  return {
    to: person.email,
    subject: line`A passkey for ${own(appName)} was removed`,
    paragraphs: [
      line`The passkey ${named(name)} does not sign you in any more. You were signed out everywhere else.`,
      line`If that wasn’t you, reset your password at once:`,
      own(`${publicUrl}/reset`),
    ],
  };
}

export function passkeyWaitsMail(
  { appName, publicUrl }: MailConfig,
  owner: Addressee,
  member: Addressee,
  accountName: string,
): Mail {
  return {
    to: owner.email,
    subject: line`${own(appName)}: a new passkey in ${named(accountName)} needs your consent`,
    paragraphs: [
      line`${who(member)}, a member of ${named(accountName)}, has added a passkey. Only their password or a mailed link vouches for it, so it can’t confirm payments until an owner agrees to it.`,
      line`Ask them in person or call them: anyone who can read their email or knows their password could have added it. Then agree, or leave it as it is:`,
      own(`${publicUrl}/settings/security`),
    ],
  };
}

export function passkeyTrustedMail({ appName, publicUrl }: MailConfig, person: Addressee): Mail {
  return {
    to: person.email,
    subject: line`Your passkey for ${own(appName)} is active`,
    paragraphs: [
      line`The owners of your accounts agreed that the passkey you added is yours. You can confirm payments with it now.`,
      line`If you didn’t add a passkey, reset your password at once and tell an owner of your account:`,
      own(`${publicUrl}/reset`),
    ],
  };
}

/** To the person and all owners, when the operator has opened the passkey. */
export function passkeyOpenedMail(
  { appName, publicUrl }: MailConfig,
  to: Addressee,
  member: Addressee,
  from: Date,
): Mail {
  const isOwn = to.email === member.email;
  return {
    to: to.email,
    subject: isOwn
      ? line`Your new passkey for ${own(appName)} becomes active tomorrow`
      : line`${own(appName)}: ${named(member.name)} can confirm with a new passkey from tomorrow`,
    paragraphs: [
      line`The operator of this service has verified the passkey that ${isOwn ? line`you` : who(member)} added. It can confirm payments from ${own(formatTime(from))}.`,
      line`If that’s wrong, an owner can stop it before then, under Settings → Security:`,
      own(`${publicUrl}/settings/security`),
    ],
  };
}
