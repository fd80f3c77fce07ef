import type Stripe from "stripe";
import type { Attempt, Desk, HeldIntent } from "./books.ts";

export const BANK_PATH = "/3d_secure_2/hosted";

type Intent = Stripe.PaymentIntent | Stripe.SetupIntent;

/** The address of the page at which the person answers their bank, as `next_action` names it. */
export function bankPage(desk: Desk, intent: Intent, attempt: Attempt): string {
  const url = new URL(BANK_PATH, desk.bankOrigin());
  url.searchParams.set("merchant", "acct_1Countersign");
  url.searchParams.set(intent.object, intent.id);
  url.searchParams.set(`${intent.object}_client_secret`, String(intent.client_secret));
  url.searchParams.set("source", attempt.id);
  return url.href;
}

/** The attempt that an address is for; `undefined` when nothing waits for it any more. */
export function findAttempt({ books }: Desk, query: URLSearchParams): HeldIntent<Intent> | undefined {
  const held =
    books.intents.get(query.get("payment_intent") ?? "") ??
    books.setupIntents.get(query.get("setup_intent") ?? "");
  if (held?.attempt === undefined || held.attempt.id !== query.get("source")) return undefined;
  return query.get(`${held.intent.object}_client_secret`) === held.intent.client_secret ? held : undefined;
}

/** Where the person goes when they have answered. */
export function returnAddress(intent: Intent, attempt: Attempt): string {
  const url = new URL(attempt.returnUrl);
  url.searchParams.set(intent.object, intent.id);
  url.searchParams.set(`${intent.object}_client_secret`, String(intent.client_secret));
  url.searchParams.set("source_type", "card");
  return url.href;
}

/** What the person sees there; `undefined`: nothing waits. */
export function bankHtml(held: HeldIntent<Intent> | undefined): string {
  const title = "3D Secure 2 test page";
  const body =
    held === undefined
      ? "<p>This authentication is no longer waited for.</p>"
      : `<p>This is a test ${held.intent.object.replace("_", " ")}. Complete or fail its authentication.</p>
<form method="post">
<button name="answer" value="complete">Complete</button>
<button name="answer" value="fail">Fail</button>
</form>`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title></head>
<body><main><h1>${title}</h1>
${body}
</main></body></html>`;
}
