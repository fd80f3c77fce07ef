import { line, named, own, who } from "../mail/line.ts";
import type { Mail, MailConfig } from "../mail/service.ts";

/** Mails about claims. They contain no text of the agent, as anyone can register one. */

export function claimMail({ appName, publicUrl }: MailConfig, email: string, secret: string): Mail {
  return {
    to: email,
    routine: true,
    subject: line`An agent asks you to take on its account at ${own(appName)}`,
    paragraphs: [
      line`An AI agent has registered an account at ${own(appName)}, and has named you as the person who answers for it.`,
      line`If you sent it, open this page within 30 minutes, and type the six digits that your agent shows you:`,
      own(`${publicUrl}/claim?token=${secret}`),
      line`If no agent of yours shows you a code, do nothing. Never type a code that another person sends you: their agent would then act in your name.`,
    ],
  };
}

export function claimedMail({ appName, publicUrl }: MailConfig, email: string, registrationId: string): Mail {
  return {
    to: email,
    subject: line`You own an account at ${own(appName)} now`,
    paragraphs: [
      line`You have claimed the account that an agent registered at ${own(appName)}. Its number is ${own(registrationId)}.`,
      line`What the agent may do, and which agents there are, you decide here:`,
      own(`${publicUrl}/settings/keys`),
      line`If that was not you, ask for a new password at once, and tell the operator of this service:`,
      own(`${publicUrl}/reset`),
    ],
  };
}

/** Tells an owner that a member refused the key which a claim had granted. */
export function grantRefusedMail(
  { appName, publicUrl }: MailConfig,
  email: string,
  {
    by,
    accountName,
    agentName,
  }: { by: { name: string; email: string }; accountName: string; agentName: string | null },
): Mail {
  const agent = agentName === null ? line`the agent` : line`the agent ${named(agentName)}`;
  return {
    to: email,
    subject: line`${own(appName)}: an agent of ${named(accountName)} gets no API key`,
    paragraphs: [
      line`${who(by)} refused the API key that ${agent} was granted when the account ${named(accountName)} was claimed. The agent had not collected it, and no longer can.`,
      line`If that’s wrong, create an API key for it:`,
      own(`${publicUrl}/settings/keys`),
    ],
  };
}
