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
        ? []
        : [
            "As your password had been set by a link, it confirms nothing before an owner of each of your accounts has agreed to it.",
          ]),
      "If that was not you, ask for a new password at once, then remove that passkey under Settings → Security:",
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
      `${who(member)}, a member of “${line(accountName)}”, has set a new password by a mailed link, and added a passkey. It confirms nothing before an owner agrees to it.`,
      "Ask them in person, or call them: whoever reads their mail could have done this. Then agree, or leave it as it is:",
      `${publicUrl}/settings/security`,
    ],
  };
}
