import { formatAmount } from "../lib/money.ts";
import { formatTime } from "../lib/time.ts";
import { line, type MailLine, named, own } from "../mail/line.ts";
import type { Mail, MailConfig } from "../mail/service.ts";

type To = { email: string; accountName: string };
type Money = { amountCents: number; currency: string };

/** To an owner: an agent requested a top-up. */
export function topUpAskedMail(
  { appName, publicUrl }: MailConfig,
  { email, accountName }: To,
  { id, by, expiresAt, ...money }: Money & { id: string; by: MailLine; expiresAt: Date },
): Mail {
  const amount = own(formatAmount(money.amountCents, money.currency));
  return {
    to: email,
    routine: true,
    subject: line`${own(appName)}: a top-up of ${amount} was requested for ${named(accountName)}`,
    paragraphs: [
      line`${by} requested a top-up of ${amount} for the credits of the account ${named(accountName)}. Nothing is paid until an owner or approver pays for it on this page, by ${own(formatTime(expiresAt))}:`,
      own(`${publicUrl}/top-ups/${id}`),
    ],
  };
}

/** To a member: a top-up was paid. */
export function topUpCompletedMail(
  { appName, publicUrl }: MailConfig,
  { email, accountName }: To,
  { amountCents, currency }: Money,
): Mail {
  const amount = own(formatAmount(amountCents, currency));
  return {
    to: email,
    subject: line`${own(appName)}: ${amount} was added to the credits of ${named(accountName)}`,
    paragraphs: [
      line`A top-up of ${amount} was paid, and its credits are available in the account ${named(accountName)}.`,
      own(`${publicUrl}/billing`),
    ],
  };
}

/** To a member: the available credits were corrected. @param change.amountCents signed */
export function creditsAdjustedMail(
  { appName, publicUrl }: MailConfig,
  { email, accountName }: To,
  { amountCents, currency, why }: Money & { why: MailLine },
): Mail {
  const amount = own(formatAmount(Math.abs(amountCents), currency));
  const what = amountCents < 0 ? line`taken from` : line`added to`;
  return {
    to: email,
    subject: line`${own(appName)}: ${amount} was ${what} the credits of ${named(accountName)}`,
    paragraphs: [
      line`${amount} was ${what} the available credits of the account ${named(accountName)}. ${why}`,
      own(`${publicUrl}/billing`),
    ],
  };
}
