import { type Html, html } from "../lib/html.ts";
import type { Human } from "../sessions/gate.ts";
import { isFresh, PASSWORD_AT_MOST, provePassword, type SessionDeps } from "../sessions/service.ts";
import { type Fault, field } from "./forms.ts";

/** When the person proved that they are there: now, by their password, or lately, if they typed none. */
export async function proveNow(
  deps: SessionDeps,
  human: Human,
  password: string | undefined,
  address: string,
): Promise<Date | undefined> {
  if (password) return provePassword(deps, human, password, address);
  return isFresh(human, human.now) ? human.provedAt : undefined;
}

/** What a form asks whose person has not proved lately that they are there; nothing if they have. */
export function presenceField(human: Human, id: string, fault: Fault | undefined): Html | undefined {
  if (isFresh(human, human.now) && fault?.field !== id) return undefined;
  return field({
    name: "password",
    id,
    label: "Your password, to show that it is you",
    type: "password",
    autocomplete: "current-password",
    maxLength: PASSWORD_AT_MOST,
    fault,
  });
}

/**
 * Beside that field, on a page with the passkeys' script: the person's passkey in its place, or for what a password
 * does not vouch for.
 */
export function presenceByPasskey(human: Human, token: string): Html | undefined {
  if (isFresh(human, human.now) && human.trusted) return undefined;
  return html`
        <div class="field scripted" data-presence="/settings/security/presence" data-token="${token}">
          <button class="second" type="button" disabled>Use a passkey that you have</button>
          <p class="quiet" role="status"></p>
        </div>`;
}

/** What is wrong when `proveNow` finds nobody there. */
export function absentFault(id: string, password: string | undefined): Fault {
  const message = password
    ? "This is not your password. Nothing was done."
    : "Type your password, to show that it is you.";
  return { field: id, message };
}
