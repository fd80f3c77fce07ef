import { formatTime } from "../lib/time.ts";
import { line, named, own, who } from "../mail/line.ts";
import type { Mail } from "../mail/service.ts";

/** What people are mailed about passkeys: their own, and those that wait for an owner's consent. */
type Context = { appName: string; publicUrl: string };
type Person = { email: string; name: string };

export function passkeyAddedMail(
  { appName, publicUrl }: Context,
  person: Person,
  { name, trusted }: { name: string; trusted: boolean },
): Mail {
  return {
    to: person.email,
    subject: line`A passkey for ${own(appName)} was added`,
    paragraphs: [
      line`Hello,`,
      line`The passkey ${named(name)} signs you in from now on. You were signed out everywhere else.`,
      ...(trusted
        ? [
            line`If that was not you, ask for a new password at once, then remove that passkey under Settings → Security:`,
          ]
        : [
            line`As nothing but your password stood behind it, it confirms nothing before an owner of each of your accounts has agreed to it.`,
            line`If that was not you, ask for a new password at once, which removes that passkey too:`,
          ]),
      own(`${publicUrl}/reset`),
    ],
  };
}

export function passkeyRemovedMail(
  { appName, publicUrl }: Context,
  person: Person,
  { name }: { name: string },
): Mail {
  return {
    to: person.email,
    subject: line`A passkey for ${own(appName)} was removed`,
    paragraphs: [
      line`Hello,`,
      line`The passkey ${named(name)} does not sign you in any more. You were signed out everywhere else.`,
      line`If that was not you, ask for a new password at once:`,
      own(`${publicUrl}/reset`),
    ],
  };
}

export function passkeyWaitsMail(
  { appName, publicUrl }: Context,
  owner: Person,
  member: Person,
  accountName: string,
): Mail {
  return {
    to: owner.email,
    subject: line`${own(appName)}: a new passkey in ${named(accountName)} waits for you`,
    paragraphs: [
      line`Hello,`,
      line`${who(member)}, a member of ${named(accountName)}, has added a passkey with nothing but their password, or a mailed link, behind it. It confirms nothing before an owner agrees to it.`,
      line`Ask them in person, or call them: whoever reads their mail or knows their password could have done this. Then agree, or leave it as it is:`,
      own(`${publicUrl}/settings/security`),
    ],
  };
}

export function passkeyTrustedMail({ appName, publicUrl }: Context, person: Person): Mail {
  return {
    to: person.email,
    subject: line`Your passkey for ${own(appName)} counts now`,
    paragraphs: [
      line`Hello,`,
      line`It was agreed that the passkey you added is yours. You can confirm with it.`,
      line`If you have added none, ask for a new password at once, and tell an owner of your account:`,
      own(`${publicUrl}/reset`),
    ],
  };
}

/** To all owners, and to the person, as soon as the operator has opened the way. */
export function passkeyOpenedMail(
  { appName, publicUrl }: Context,
  to: Person,
  member: Person,
  from: Date,
): Mail {
  const isOwn = to.email === member.email;
  return {
    to: to.email,
    subject: isOwn
      ? line`Your new passkey for ${own(appName)} counts from tomorrow`
      : line`${own(appName)}: the operator lets ${named(member.name)} confirm by a new passkey from tomorrow`,
    paragraphs: [
      line`Hello,`,
      line`The operator of this service says that the passkey which ${isOwn ? line`you have` : line`${who(member)} has`} added is really ${isOwn ? line`yours` : line`theirs`}. From ${own(formatTime(from))} on it confirms payments.`,
      line`If that is not right, an owner can stop it until then, under Settings → Security:`,
      own(`${publicUrl}/settings/security`),
    ],
  };
}
