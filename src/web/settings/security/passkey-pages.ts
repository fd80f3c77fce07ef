import { type Html, html } from "../../../lib/html.ts";
import { brief } from "../../../lib/names.ts";
import { PASSKEY_NAME_AT_MOST, type PasskeyRow } from "../../../passkeys/service.ts";
import type { Human } from "../../../sign-in/gate.ts";
import { type Fault, faultSummary, field, hiddenField } from "../../kit/forms.ts";
import type { Page } from "../../kit/layout.ts";
import { PASSKEY_SCRIPT, PRESENCE, presenceField } from "../../kit/presence.ts";
import { mentioned, named, time } from "../../kit/wording.ts";

export const SECURITY = "/settings/security";
export const PASSKEYS = `${SECURITY}/passkeys`;
const PASSWORD_FIELD = "password";

export const PASSKEY_PURPOSES = {
  add: "passkeys:add",
  presence: PRESENCE,
  rename: (id: string) => `passkeys:rename:${id}`,
  remove: (id: string) => `passkeys:remove:${id}`,
};

/** A passkey as its person sees it. */
export type PasskeyView = Pick<
  PasskeyRow,
  "id" | "name" | "created_at" | "last_used_at" | "backed_up" | "active_from" | "possible_copy_at"
>;

/** On `/settings/security`: which passkeys there are, and the way to another. */
export function passkeysPart({ now }: Human, passkeys: readonly PasskeyView[], usable: boolean): Html {
  return html`
      <h2>Passkeys</h2>
      ${
        usable
          ? html`<p>Sign in and confirm with your fingerprint, face or PIN. There’s no password to remember, and none that a fake page
        can steal.</p>`
          : html`<p class="quiet">Passkeys don’t work at this service’s address: they need https and a domain name. The operator of this
        service can change that.</p>`
      }
      ${
        passkeys.length > 0 &&
        html`<ul class="rows">${passkeys.map(
          (passkey) => html`
        <li>
          <a href="${PASSKEYS}/${passkey.id}">${named(passkey.name)}</a>
          <span class="quiet">${aboutPasskey(passkey)}</span>
          ${standingOf(passkey, now)}
          ${passkey.possible_copy_at && html`<span><strong>May have been copied.</strong> Open it for details.</span>`}
        </li>`,
        )}</ul>`
      }
      ${usable && html`<p><a class="button second" href="${PASSKEYS}/new">Add a passkey</a></p>`}`;
}

function aboutPasskey({ created_at, last_used_at, backed_up }: PasskeyView): Html {
  return html`Added ${time(created_at)}, ${last_used_at === null ? "never used" : html`last used ${time(last_used_at)}`}.
            ${backed_up ? "Synced between your devices." : "On one device only."}`;
}

/** What a counter that did not go up may mean, and what to do. */
function aboutCopy({ possible_copy_at: at }: PasskeyView): Html | null {
  return (
    at &&
    html`<p class="notice"><strong>This passkey may have been copied.</strong> When it was used on ${time(at)}, its counter hadn’t gone up.
        That is normal for several password managers. If you don’t keep it in one, or don’t recognise that use, remove it and add a new one.</p>`
  );
}

function standingOf({ active_from }: PasskeyView, now: Date): Html | undefined {
  if (active_from === null) {
    return html`<span><strong>Waiting for an owner.</strong> You can sign in with it. Before you can confirm with it, an owner of each of
            your accounts must agree under Settings → Security, or the operator must activate it.</span>`;
  }
  return active_from > now
    ? html`<span><strong>You can confirm with it from ${time(active_from)},</strong> unless an owner stops it.</span>`
    : undefined;
}

/** `/settings/security/passkeys/new`: makes a passkey, and leads back to where it was wanted. */
export function newPasskeyPage(
  human: Human,
  {
    tokenField,
    presence,
    returnTo,
    full,
    signs,
    standing,
    fault,
  }: {
    tokenField: Html;
    presence: Html | undefined;
    returnTo: string | undefined;
    full: boolean;
    /** Whether a passkey that they have signs the new one. */
    signs: boolean;
    /** What they have already: a passkey that counts, or else one that waits. */
    standing: "counts" | "waits" | "none";
    fault?: Fault | undefined;
  },
): Page {
  const back = returnTo ?? SECURITY;
  return {
    title: "Add a passkey",
    ...PASSKEY_SCRIPT,
    body: html`
      ${faultSummary(fault)}
      <p>Your device, password manager or security key stores the passkey, and asks for your fingerprint, face or PIN each
        time you use it.</p>
      ${signs ? ABOUT_SIGNING : aboutTrust(human, standing)}
      <noscript><p class="notice wrong"><strong>Adding a passkey needs JavaScript.</strong> Browsers create passkeys by script only.
        Everything else under Security works without it.</p></noscript>
      ${
        full
          ? html`<p class="notice wrong">You’ve reached the limit of passkeys. <a href="${SECURITY}">Remove one that you don’t use</a>
        first.</p>`
          : html`<form method="post" action="${PASSKEYS}" data-passkey="create" data-options="${PASSKEYS}/options"${signs && html` data-sign="${PASSKEYS}/sign"`}>
        ${tokenField}
        ${hiddenField("credential", "")}
        ${signs && hiddenField("signature", "")}
        ${returnTo !== undefined && hiddenField("return_to", returnTo)}
        ${!signs && presenceField(human, PASSWORD_FIELD, fault)}
        ${!signs && presence}
        <div class="choices">
          <button class="scripted" id="passkey" type="submit" disabled>Create passkey</button>
          <a class="button second" href="${back}">${returnTo === undefined ? "Back" : "Not now"}</a>
        </div>
        <p class="quiet passkey-said" role="status"></p>
      </form>`
      }
      <p class="quiet">You’ll be signed out everywhere else and notified by email.</p>`,
  };
}

const ABOUT_SIGNING = html`<p class="notice"><strong>You’ll be asked twice:</strong> first to create the new passkey, then for a passkey that you
        already have, which signs the new one. Lost all of them? <a href="${SECURITY}">Remove them</a> first. You can then sign in
        with the new one, and confirm with it once an owner of each of your accounts has agreed.</p>`;

/** What a passkey would not count for that is added in this session, and what to do about it. */
function aboutTrust({ trusted }: Human, standing: "counts" | "waits" | "none"): Html | undefined {
  if (trusted) return undefined;
  if (standing === "counts") {
    return html`<p class="notice"><strong>Use a passkey that you have first:</strong> then the new one is active at once. Lost them?
        Continue without. You can sign in with the new one, and confirm with it once an owner of each of your accounts has agreed.</p>`;
  }
  if (standing === "waits") {
    return html`<p class="notice"><strong>You already have a passkey that is waiting for an owner.</strong> Ask an owner of each of your accounts
        to agree to it under <a href="${SECURITY}">Security</a>. You don’t need another one.</p>`;
  }
  return html`<p class="notice"><strong>An owner must agree to this passkey.</strong> You signed in with a password or an emailed link only. You can
        sign in with the new passkey at once, and confirm with it once an owner of each of your accounts has agreed, or the operator
        has activated it.</p>`;
}

/** `/settings/security/passkeys/{id}`: another name, and the way out. */
export function passkeyPage(
  human: Human,
  passkey: PasskeyView,
  {
    tokens,
    presence,
    last,
    fault,
  }: {
    tokens: (purpose: string) => Html;
    presence: Html | undefined;
    /** The accounts in which the person could confirm no more without it. */
    last: readonly string[];
    fault?: Fault | undefined;
  },
): Page {
  const { id, name } = passkey;
  return {
    title: `Passkey: ${brief(name)}`,
    heading: named(name),
    ...PASSKEY_SCRIPT,
    body: html`
      ${faultSummary(fault)}
      <p>${aboutPasskey(passkey)} ${standingOf(passkey, human.now)}</p>
      ${aboutCopy(passkey)}
      <form method="post" action="${PASSKEYS}/${id}/name">
        ${tokens(PASSKEY_PURPOSES.rename(id))}
        ${field({ name: "name", label: "Name", type: "text", autocomplete: "off", value: name, maxLength: PASSKEY_NAME_AT_MOST, hint: "Only you see this name.", fault })}
        <button class="second" type="submit">Rename</button>
      </form>
      <h2>Remove this passkey</h2>
      ${
        last.length > 0 &&
        html`<p class="notice wrong"><strong>It’s the only passkey you can confirm with.</strong> Without it you can’t confirm in
        ${last.map((account, i) => html`${i > 0 && ", "}${mentioned(account)}`)} until you add another.</p>`
      }
      <p>You’ll no longer be able to sign in with it. You’ll be signed out everywhere else and notified by email. What you’ve signed with it stays valid.</p>
      ${
        (!human.trusted || last.length > 0) &&
        html`<p class="notice">You can remove it without using another passkey. But then an owner of each of your accounts must agree
        to the next one you add. To replace it, add the new one first.</p>`
      }
      <form method="post" action="${PASSKEYS}/${id}/remove">
        ${tokens(PASSKEY_PURPOSES.remove(id))}
        ${presenceField(human, PASSWORD_FIELD, fault)}
        ${presence}
        <button type="submit">Remove passkey</button>
      </form>
      <p class="quiet">Delete it from your device or password manager too.</p>
      <p><a href="${SECURITY}">Security</a></p>`,
  };
}
