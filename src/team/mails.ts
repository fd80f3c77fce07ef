import type { MemberRole } from "../database/schema.ts";
import { line, type MailLine, named, own, who } from "../mail/line.ts";
import type { Mail } from "../mail/service.ts";

/** What people are mailed about keys and members of an account. */
type Context = { appName: string; publicUrl: string };
type Person = { email: string; name: string };
type Change = { by: Person; accountName: string };

const A_ROLE: Record<MemberRole, MailLine> = {
  owner: line`an owner`,
  approver: line`an approver`,
  viewer: line`a viewer`,
};

const NOT_RIGHT = (publicUrl: string, place: "keys" | "members"): MailLine[] => [
  line`If that is not right, change it at once:`,
  own(`${publicUrl}/settings/${place}`),
];

export function inviteMail(
  { appName, publicUrl }: Context,
  to: Person,
  { by, accountName, role, secret }: Change & { role: MemberRole; secret: string },
): Mail {
  return {
    to: to.email,
    routine: true,
    subject: line`${own(appName)}: an invitation to ${named(accountName)}`,
    paragraphs: [
      line`Hello,`,
      line`${who(by)} invites you into the account ${named(accountName)}, as ${A_ROLE[role]}.`,
      line`This link works once, for 24 hours, and is for you alone:`,
      own(`${publicUrl}/invite?token=${secret}`),
      line`If you do not know what this is about, do nothing.`,
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
    subject: line`${own(appName)}: a new API key for ${named(accountName)}`,
    paragraphs: [
      line`Hello,`,
      line`${who(by)} has made the API key ${named(keyName)} (${own(preview)}) for the account ${named(accountName)}. It may ${own(may)}.`,
      ...NOT_RIGHT(publicUrl, "keys"),
    ],
  };
}

export function keyRevokedMail(
  { appName, publicUrl }: Context,
  to: Person,
  {
    by,
    accountName,
    keyName,
    preview,
    ended,
    webhooksEnded,
  }: Change & { keyName: string; preview: string; ended: number; webhooksEnded: number },
): Mail {
  return {
    to: to.email,
    subject: line`${own(appName)}: an API key of ${named(accountName)} was revoked`,
    paragraphs: [
      line`Hello,`,
      line`${who(by)} has revoked the API key ${named(keyName)} (${own(preview)}) of the account ${named(accountName)}.`,
      ...(ended > 1 ? [line`The keys that it had created are revoked too: ${ended} in all.`] : []),
      ...(webhooksEnded > 0 ? [line`Webhooks that they had created are deleted: ${webhooksEnded}.`] : []),
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
    subject: line`${own(appName)}: somebody was invited to ${named(accountName)}`,
    paragraphs: [
      line`Hello,`,
      line`${who(by)} has invited ${who(member)} into the account ${named(accountName)}, as ${A_ROLE[role]}.`,
      ...NOT_RIGHT(publicUrl, "members"),
    ],
  };
}

export function roleChangedMail(
  { appName, publicUrl }: Context,
  to: Person,
  { by, accountName, member, role }: Change & { member: Person; role: MemberRole },
): Mail {
  const isOwn = to.email === member.email;
  return {
    to: to.email,
    subject: isOwn
      ? line`${own(appName)}: your role in ${named(accountName)} has changed`
      : line`${own(appName)}: a role in ${named(accountName)} has changed`,
    paragraphs: [
      line`Hello,`,
      line`${who(by)} has made ${isOwn ? line`you` : who(member)} ${A_ROLE[role]} of the account ${named(accountName)}.`,
      ...NOT_RIGHT(publicUrl, "members"),
    ],
  };
}

export function memberRemovedMail(
  { appName, publicUrl }: Context,
  to: Person,
  { by, accountName, member }: Change & { member: Person },
): Mail {
  const isOwn = to.email === member.email;
  return {
    to: to.email,
    subject: isOwn
      ? line`${own(appName)}: you are no longer in ${named(accountName)}`
      : line`${own(appName)}: somebody has left ${named(accountName)}`,
    paragraphs: [
      line`Hello,`,
      line`${who(by)} has removed ${isOwn ? line`you` : who(member)} from the account ${named(accountName)}.`,
      ...(isOwn
        ? [
            line`You can no longer see or do anything in it. If that is a surprise, ask an owner of the account.`,
          ]
        : NOT_RIGHT(publicUrl, "members")),
    ],
  };
}
