import { cardName } from "../lib/card-name.ts";
import { line, type MailLine, named, own } from "../mail/line.ts";
import type { Mail, MailConfig } from "../mail/service.ts";

/** Tells an owner that a card was put on file or removed. */
export function cardChangedMail(
  { appName, publicUrl }: MailConfig,
  email: string,
  {
    by,
    accountName,
    change,
    brand,
    last4,
    pays,
  }: {
    by: MailLine;
    accountName: string;
    change: "added" | "removed";
    brand: string;
    last4: string;
    /** The card that pays now; null: none is left. */
    pays: { brand: string; last4: string } | null;
  },
): Mail {
  const card = own(cardName({ brand, last4 }));
  const did = change === "added" ? line`added the ${card} to` : line`removed the ${card} from`;
  return {
    to: email,
    subject:
      change === "added"
        ? line`${own(appName)}: a card was added to ${named(accountName)}`
        : line`${own(appName)}: a card of ${named(accountName)} was removed`,
    paragraphs: [
      line`${by} ${did} the account ${named(accountName)}.`,
      pays === null
        ? line`No card is on file any more. Until one is added, agents can’t request payments and pending requests can’t be confirmed.`
        : line`The ${own(cardName(pays))} pays for what is confirmed from now on. A card is charged only after a member has confirmed a request.`,
      line`If that’s wrong, change it at once:`,
      own(`${publicUrl}/billing`),
    ],
  };
}
