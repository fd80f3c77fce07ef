import { type Html, html } from "../../../lib/html.ts";
import type { Upgrade } from "../../../team/upgrade-service.ts";
import { hiddenField } from "../../kit/forms.ts";
import type { Prover } from "../../kit/presence.ts";
import { signedForm, signingField } from "../../kit/signing.ts";
import { type Heading, mentioned, time } from "../../kit/wording.ts";

/** What the operator asks for, as a member may decide it: owners consent or refuse, every member may object. */
export type UpgradeView = Upgrade & { formToken: string; path: string; decides: boolean; signs: boolean };

export const UPGRADE_BANNERS: Record<string, string> = {
  upgrade_consented: "You agreed. The new role is active now. All members have been notified by email.",
  upgrade_ended: "The role doesn’t change. All members have been notified by email.",
  upgrade_over: "Nothing was done. The request was already decided or withdrawn.",
  upgrade_unproved: "Nothing was done. Enter your current password to agree or refuse.",
};

/** The operator's open requests for more rights, with their forms. */
export function upgradeRows(human: Prover, upgrades: readonly UpgradeView[], heading: Heading): Html | null {
  if (upgrades.length === 0) return null;
  return html`${heading("Requested by the operator")}
      <ul class="rows">${upgrades.map((upgrade) => row(human, upgrade))}</ul>`;
}

function row(human: Prover, upgrade: UpgradeView): Html {
  const { id, memberName, memberEmail, role, effectiveAt, formToken, path, decides, signs } = upgrade;
  const form = (
    buttons: Html,
  ): Html => html`<form method="post" action="${path}"${signedForm(path, decides && signs)}>
            ${hiddenField("form_token", formToken)}
            ${buttons}
          </form>`;
  return html`
        <li class="choices stacked">
          <p><strong>${mentioned(memberName)}</strong> (${memberEmail}) as an <b>${role}</b>. ${
            effectiveAt === null
              ? "An owner must agree."
              : html`It takes effect on ${time(effectiveAt)}, unless an owner signs in or a member objects before then.`
          }</p>
          ${
            decides &&
            form(html`${signingField(human, signs, `password-${id}`, undefined)}
            <button type="submit" name="decision" value="consent"${signs && " disabled"}>Agree</button>
            <button class="second" type="submit" name="decision" value="refuse" data-unsigned>Refuse</button>`)
          }
          ${
            !decides &&
            effectiveAt !== null &&
            form(html`<button class="second" type="submit" name="decision" value="object">Object</button>`)
          }
        </li>`;
}
