import type { MemberRole } from "../database/schema.ts";
import { brief, quoted } from "../lib/names.ts";
import type { Mail } from "../mail/service.ts";

/** What people are mailed about keys and members of an account. */
type Context = { appName: string; publicUrl: string };
type Person = { email: string; name: string };
type Change = { by: Person; accountName: string };

const A_ROLE: Record<MemberRole, string> = {
  owner: "an owner",
  approver: "an approver",
  viewer: "a viewer",
};

function who({ name, email }: Person): string {
  return `${quoted(name)} (${email})`;
}

const NOT_RIGHT = (publicUrl: string, place: "keys" | "members"): string[] => [
  "If that is not right, change it at once:",
  `${publicUrl}/settings/${place}`,
];

export function inviteMail(
  { appName, publicUrl }: Context,
  to: Person,
  { by, accountName, role, secret }: Change & { role: MemberRole; secret: string },
): Mail {
  return {
    to: to.email,
    routine: true,
    subject: `${appName}: an invitation to ${brief(accountName)}`,
    paragraphs: [
      `Hello ${brief(to.name)},`,
      `${who(by)} invites you into the account ${quoted(accountName)}, as ${A_ROLE[role]}.`,
      "This link works once, for 24 hours, and is for you alone:",
      `${publicUrl}/invite?token=${secret}`,
      "If you do not know what this is about, do nothing.",
    ],
  };
}

export function keyMintedMail(
  { appName, publicUrl }: Context,
  to: Person,
  { by, accountName, keyName, preview, may }: Change & { keyName: string; preview: string; may: string },
): Mail {
  return {
    to: to.email,
    subject: `${appName}: a new API key for ${brief(accountName)}`,
    paragraphs: [
      `Hello ${brief(to.name)},`,
      `${who(by)} has made the API key ${quoted(keyName)} (${preview}) for the account ${quoted(accountName)}. It may ${may}.`,
      ...NOT_RIGHT(publicUrl, "keys"),
    ],
  };
}

export function memberInvitedMail(
  { appName, publicUrl }: Context,
  to: Person,
  { by, accountName, member, role }: Change & { member: Person; role: MemberRole },
): Mail {
  return {
    to: to.email,
    subject: `${appName}: somebody was invited to ${brief(accountName)}`,
    paragraphs: [
      `Hello ${brief(to.name)},`,
      `${who(by)} has invited ${who(member)} into the account ${quoted(accountName)}, as ${A_ROLE[role]}.`,
      ...NOT_RIGHT(publicUrl, "members"),
    ],
  };
}

export function roleChangedMail(
  { appName, publicUrl }: Context,
  to: Person,
  { by, accountName, member, role }: Change & { member: Person; role: MemberRole },
): Mail {
  const own = to.email === member.email;
  return {
    to: to.email,
    subject: own
      ? `${appName}: your role in ${brief(accountName)} has changed`
      : `${appName}: a role in ${brief(accountName)} has changed`,
    paragraphs: [
      `Hello ${brief(to.name)},`,
      `${who(by)} has made ${own ? "you" : who(member)} ${A_ROLE[role]} of the account ${quoted(accountName)}.`,
      ...NOT_RIGHT(publicUrl, "members"),
    ],
  };
}

export function memberRemovedMail(
  { appName, publicUrl }: Context,
  to: Person,
  { by, accountName, member }: Change & { member: Person },
): Mail {
  const own = to.email === member.email;
  return {
    to: to.email,
    subject: own
      ? `${appName}: you are no longer in ${brief(accountName)}`
      : `${appName}: somebody has left ${brief(accountName)}`,
    paragraphs: [
      `Hello ${brief(to.name)},`,
      `${who(by)} has removed ${own ? "you" : who(member)} from the account ${quoted(accountName)}.`,
      ...(own
        ? ["You can no longer see or do anything in it. If that is a surprise, ask an owner of the account."]
        : NOT_RIGHT(publicUrl, "members")),
    ],
  };
}
