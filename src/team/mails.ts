import type { MemberRole } from "../database/schema.ts";
import { line, type MailLine, named, own, who } from "../mail/line.ts";
import type { Addressee, Mail, MailConfig } from "../mail/service.ts";

/** What is said of a change of an API key or a member. */
type Change = { by: Addressee; accountName: string };

const A_ROLE: Record<MemberRole, MailLine> = {
  owner: line`an owner`,
  approver: line`an approver`,
  viewer: line`a viewer`,
};

const NOT_RIGHT = (publicUrl: string, place: "keys" | "members"): MailLine[] => [
  line`If that’s wrong, change it at once:`,
  own(`${publicUrl}/settings/${place}`),
];

export function inviteMail(
  { appName, publicUrl }: MailConfig,
  to: Addressee,
  { by, accountName, role, secret }: Change & { role: MemberRole; secret: string },
): Mail {
  return {
    to: to.email,
    routine: true,
    subject: line`${own(appName)}: an invitation to ${named(accountName)}`,
    paragraphs: [
      line`${who(by)} invites you to the account ${named(accountName)}, as ${A_ROLE[role]}.`,
      line`This link is for you alone. It works once, within 24 hours:`,
      own(`${publicUrl}/invite?token=${secret}`),
      line`If you don’t know what this is about, ignore this email.`,
    ],
  };
}

export function keyMintedMail(
  { appName, publicUrl }: MailConfig,
  to: Addressee,
  { by, accountName, keyName, preview, may }: Change & { keyName: string; preview: string; may: string },
): Mail {
  return {
    to: to.email,
    subject: line`${own(appName)}: a new API key for ${named(accountName)}`,
    paragraphs: [
      line`${who(by)} created the API key ${named(keyName)} (${own(preview)}) for the account ${named(accountName)}. It may ${own(may)}.`,
      ...NOT_RIGHT(publicUrl, "keys"),
    ],
  };
}

export function keyRevokedMail(
  { appName, publicUrl }: MailConfig,
  to: Addressee,
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
      line`${who(by)} revoked the API key ${named(keyName)} (${own(preview)}) of the account ${named(accountName)}.`,
      ...(ended > 1 ? [line`The keys that it had created were revoked too: ${ended} in all.`] : []),
      ...(webhooksEnded > 0 ? [line`Webhooks that they had created were deleted: ${webhooksEnded}.`] : []),
      ...NOT_RIGHT(publicUrl, "keys"),
    ],
  };
}

export function memberInvitedMail(
  { appName, publicUrl }: MailConfig,
  to: Addressee,
  { by, accountName, member, role }: Change & { member: Addressee; role: MemberRole },
): Mail {
  return {
    to: to.email,
    subject: line`${own(appName)}: a person was invited to ${named(accountName)}`,
    paragraphs: [
      line`${who(by)} invited ${who(member)} to the account ${named(accountName)}, as ${A_ROLE[role]}.`,
      ...NOT_RIGHT(publicUrl, "members"),
    ],
  };
}

export function roleChangedMail(
  { appName, publicUrl }: MailConfig,
  to: Addressee,
  { by, accountName, member, role }: Change & { member: Addressee; role: MemberRole },
): Mail {
  const isOwn = to.email === member.email;
  return {
    to: to.email,
    subject: isOwn
      ? line`${own(appName)}: your role in ${named(accountName)} has changed`
      : line`${own(appName)}: a role in ${named(accountName)} has changed`,
    paragraphs: [
      line`${who(by)} made ${isOwn ? line`you` : who(member)} ${A_ROLE[role]} of the account ${named(accountName)}.`,
      ...NOT_RIGHT(publicUrl, "members"),
    ],
  };
}

export function memberRemovedMail(
  { appName, publicUrl }: MailConfig,
  to: Addressee,
  { by, accountName, member }: Change & { member: Addressee },
): Mail {
  const isOwn = to.email === member.email;
  return {
    to: to.email,
    subject: isOwn
      ? line`${own(appName)}: you are no longer in ${named(accountName)}`
      : line`${own(appName)}: a member of ${named(accountName)} was removed`,
    paragraphs: [
      line`${who(by)} removed ${isOwn ? line`you` : who(member)} from the account ${named(accountName)}.`,
      ...(isOwn
        ? [line`You no longer have access to it. If you didn’t expect this, ask an owner of the account.`]
        : NOT_RIGHT(publicUrl, "members")),
    ],
  };
}
