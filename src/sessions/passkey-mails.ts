import { formatTime } from "../lib/time.ts";
import type { Mail } from "../mail/service.ts";

/** What people are mailed about passkeys: their own, and those that wait for an owner's consent. */
type Context = { appName: string; publicUrl: string };
type Person = { email: string; name: string };

/** Names that somebody chose stand in one line, whatever is in them: a line of its own could be a link. */
function line(text: string): string {
  return text.replaceAll(/\s+/g, " ").trim();
}

function who({ name, email }: Person): string {
  return `${line(name)} (${email})`;
}

export function passkeyAddedMail(
  { appName, publicUrl }: Context,
  person: Person,
  { name, trusted }: { name: string; trusted: boolean },
): Mail {
  return {
    to: person.email,
    subject: `A passkey for ${appName} was added`,
    paragraphs: [
      `Hello ${line(person.name)},`,
      `The passkey “${line(name)}” signs you in from now on. You were signed out everywhere else.`,
      ...(trusted
        ? [
            "If that was not you, ask for a new password at once, then remove that passkey under Settings → Security:",
          ]
        : [
            "As nothing but your password stood behind it, it confirms nothing before an owner of each of your accounts has agreed to it.",
            "If that was not you, ask for a new password at once, which removes that passkey too:",
          ]),
      `${publicUrl}/reset`,
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
    subject: `A passkey for ${appName} was removed`,
    paragraphs: [
      `Hello ${line(person.name)},`,
      `The passkey “${line(name)}” does not sign you in any more. You were signed out everywhere else.`,
      "If that was not you, ask for a new password at once:",
      `${publicUrl}/reset`,
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
    subject: `${appName}: a new passkey in ${line(accountName)} waits for you`,
    paragraphs: [
      `Hello ${line(owner.name)},`,
      `${who(member)}, a member of “${line(accountName)}”, has added a passkey with nothing but their password, or a mailed link, behind it. It confirms nothing before an owner agrees to it.`,
      "Ask them in person, or call them: whoever reads their mail or knows their password could have done this. Then agree, or leave it as it is:",
      `${publicUrl}/settings/security`,
    ],
  };
}

export function passkeyTrustedMail({ appName, publicUrl }: Context, person: Person): Mail {
  return {
    to: person.email,
    subject: `Your passkey for ${appName} counts now`,
    paragraphs: [
      `Hello ${line(person.name)},`,
      "It was agreed that the passkey you added is yours. You can confirm with it.",
      "If you have added none, ask for a new password at once, and tell an owner of your account:",
      `${publicUrl}/reset`,
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
  const own = to.email === member.email;
  return {
    to: to.email,
    subject: own
      ? `Your new passkey for ${appName} counts from tomorrow`
      : `${appName}: the operator lets ${line(member.name)} confirm by a new passkey from tomorrow`,
    paragraphs: [
      `Hello ${line(to.name)},`,
      `The operator of this service says that the passkey which ${own ? "you have" : `${who(member)} has`} added is really ${own ? "yours" : "theirs"}. From ${formatTime(from)} on it confirms payments.`,
      "If that is not right, an owner can stop it until then, under Settings → Security:",
      `${publicUrl}/settings/security`,
    ],
  };
}
