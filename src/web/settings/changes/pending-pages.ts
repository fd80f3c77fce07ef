import { type Html, html } from "../../../lib/html.ts";
import type { ChangeTerms } from "../../../lib/statement.ts";
import { describeChange } from "../../../team/change-terms.ts";
import type { PendingChange } from "../../../team/pending-service.ts";
import { hiddenField } from "../../kit/forms.ts";
import type { Prover } from "../../kit/presence.ts";
import { signedForm, signingField } from "../../kit/signing.ts";
import { type Heading, mentioned, time } from "../../kit/wording.ts";

/** A change that waits for a second person, as a member may decide it. */
export type PendingView = PendingChange & {
  formToken: string;
  path: string;
  /** `asker`: they asked for it; `second`: they may agree; `reader`: neither. */
  as: "asker" | "second" | "reader";
  signs: boolean;
};

export const PENDING_BANNERS: Record<string, string> = {
  second:
    "Nothing has changed yet. Another owner or approver must agree first. They’ve been notified by email.",
  change_agreed: "You agreed. The change has taken effect.",
  change_refused: "The request has ended. Nothing has changed.",
  change_over: "Nothing was done. The request was already decided, or it has expired.",
  change_unproved: "Nothing was done. Enter your current password to agree.",
};

/** The changes that wait for a second person, with their forms. */
export function pendingRows(human: Prover, pending: readonly PendingView[], heading: Heading): Html | null {
  if (pending.length === 0) return null;
  return html`${heading("Waiting for a second person")}
      <p>In this account two people must agree to ${pending[0]?.action === "policy" ? "a looser policy" : "a new owner or approver"}.</p>
      <ul class="rows">${pending.map((change) => row(human, change))}</ul>`;
}

function row(human: Prover, change: PendingView): Html {
  const { id, terms, askedByName, askedByEmail, expiresAt, formToken, path, as, signs } = change;
  const form = (
    buttons: Html,
    signed: boolean,
  ): Html => html`<form method="post" action="${path}"${signedForm(path, signed)}>
            ${hiddenField("form_token", formToken)}
            ${buttons}
          </form>`;
  return html`
        <li class="stacked">
          <dl class="terms">${changed(terms)}
            <div><dt>Asked by</dt><dd>${mentioned(askedByName)} <span class="quiet">${askedByEmail}</span></dd></div>
            <div><dt>Agree by</dt><dd>${time(expiresAt)}</dd></div>
          </dl>
          ${
            as === "second" &&
            form(
              html`${signingField(human, signs, `password-${id}`, undefined)}
            <button type="submit" name="decision" value="agree"${signs && " disabled"}>Agree</button>
            <button class="second" type="submit" name="decision" value="refuse" data-unsigned>Refuse</button>`,
              signs,
            )
          }
          ${
            as === "asker" &&
            form(
              html`<button class="second" type="submit" name="decision" value="refuse">Withdraw</button>`,
              false,
            )
          }
        </li>`;
}

/** Every value that is signed, from what to what. */
function changed(terms: ChangeTerms): Html[] {
  return describeChange(terms).map(({ label, from, to, userSupplied }) => {
    const shown = (text: string) => (userSupplied ? mentioned(text) : text);
    return html`
            <div><dt>${label}</dt><dd>${from !== undefined && html`${shown(from)} → `}<b>${shown(to)}</b></dd></div>`;
  });
}
