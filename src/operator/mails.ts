import { brief, quoted } from "../lib/names.ts";
import type { Mail } from "../mail/service.ts";

/** What members are mailed about the operator's acts. */
type Context = { appName: string; publicUrl: string };
type Person = { email: string; name: string };

export function operatorActMail(
  { appName, publicUrl }: Context,
  to: Person,
  { accountName, what }: { accountName: string; what: readonly string[] },
): Mail {
  return {
    to: to.email,
    subject: `${appName}: the operator has changed ${brief(accountName)}`,
    paragraphs: [
      `Hello ${brief(to.name)},`,
      `The operator of this service has changed the account ${quoted(accountName)}:`,
      ...what,
      "If you did not expect this, ask the operator before you confirm anything. Your approvals:",
      `${publicUrl}/approvals`,
    ],
  };
}
