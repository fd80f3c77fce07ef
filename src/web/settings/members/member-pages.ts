import type { MemberRow } from "../../../accounts/member-service.ts";
import type { MemberRole } from "../../../database/schema.ts";
import { type Html, html } from "../../../lib/html.ts";
import { brief } from "../../../lib/names.ts";
import type { Webhook } from "../../../webhooks/schemas.ts";
import { banner, choice, type Fault, faultSummary, field, hiddenField } from "../../kit/forms.ts";
import type { Page } from "../../kit/layout.ts";
import { PASSKEY_SCRIPT, type Prover, presenceScript } from "../../kit/presence.ts";
import { signedForm, signingField, signingNeedsScript } from "../../kit/signing.ts";
import { headingsIn, mentioned, named } from "../../kit/wording.ts";
import { PENDING_BANNERS, type PendingView, pendingRows } from "../changes/pending-pages.ts";
import { madeWebhooks } from "../webhooks/webhook-pages.ts";
import { UPGRADE_BANNERS, type UpgradeView, upgradeRows } from "./upgrade-pages.ts";

export const MEMBERS = "/settings/members";
export const NAME_AT_MOST = 100;

const ROLE_NAMES: Record<MemberRole, string> = { viewer: "Viewer", approver: "Approver", owner: "Owner" };
export const ROLES: readonly (readonly [MemberRole, string])[] = [
  ["viewer", ROLE_NAMES.viewer],
  ["approver", ROLE_NAMES.approver],
  ["owner", ROLE_NAMES.owner],
];
const ROLE_HINT = html`Viewers see agents’ requests. Approvers also confirm or decline them, and manage API keys, cards and
            webhooks. Owners also manage members.`;

/** The entries of the invitation form when it is shown again. */
export type InviteDraft = { email: string; name: string; role: MemberRole };
const EMPTY: InviteDraft = { email: "", name: "", role: "approver" };

/** One account's part of the page. */
export type MemberSection = {
  accountId: string;
  accountName: string;
  members: readonly MemberRow[];
  upgrades: readonly UpgradeView[];
  pending: readonly PendingView[];
  /** What makes the form to invite; absent for all but owners. */
  inviting: { formToken: string; signs: boolean; draft?: InviteDraft | undefined } | undefined;
};

const BANNERS: Record<string, string> = {
  ...UPGRADE_BANNERS,
  ...PENDING_BANNERS,
  invited: "Invitation sent. The link works once, for 24 hours.",
  role: "Role changed. They’ve been notified by email.",
  removed: "Member removed. They’ve been notified by email.",
  withdrawn: "Invitation withdrawn. Its link no longer works.",
};

/** The ids of the form's fields, of which each account has its own. */
export const inviteFields = (accountId: string) => ({
  email: `email-${accountId}`,
  name: `name-${accountId}`,
  role: `role-${accountId}`,
  password: `password-${accountId}`,
});

/** The id of the field for the password, on a page about one member. */
export const PASSWORD_FIELD = "password";

export function memberPath(id: string): string {
  return `${MEMBERS}/${id}`;
}

/** `/settings/members`: who is in the account, as what (docs/contract.md §7). */
export function membersPage(
  human: Prover,
  sections: readonly MemberSection[],
  { said, fault }: { said?: string | undefined; fault?: Fault | undefined } = {},
): Page {
  return {
    title: "Members",
    ...(sections.some(signsSomething) ? PASSKEY_SCRIPT : presenceScript(human)),
    body: html`
      ${banner(said === undefined ? undefined : BANNERS[said])}
      ${faultSummary(fault)}
      <p>Members see agents’ requests. Owners and approvers also confirm or decline them.</p>
      ${sections.map((section) => account(human, section, sections.length > 1, fault))}`,
  };
}

function signsSomething({ inviting, pending, upgrades }: MemberSection): boolean {
  return inviting?.signs === true || [...pending, ...upgrades].some(({ signs }) => signs);
}

function account(human: Prover, section: MemberSection, several: boolean, fault: Fault | undefined): Html {
  const { accountName, members, upgrades, pending, inviting } = section;
  const heading = headingsIn(several);
  return html`${several && html`<h2>${mentioned(accountName)}</h2>`}
      ${heading("In the account")}
      <ul class="rows">${members.map((member) => row(human, member, inviting !== undefined))}</ul>
      ${pendingRows(human, pending, heading)}
      ${upgradeRows(human, upgrades, heading)}
      ${
        inviting === undefined
          ? html`<p class="quiet">Owners can invite, change and remove members.</p>`
          : html`${heading("Invite a member")}${inviteForm(human, section, inviting, fault)}`
      }`;
}

function row(human: Prover, { id, email, name, role, status, userId }: MemberRow, changes: boolean): Html {
  const you = userId !== null && userId === human.userId;
  return html`
        <li class="choices stacked">
          <p><strong>${mentioned(name)}</strong>${you && " (you)"}
            <span>${ROLE_NAMES[role]}${status === "invited" && html`, <b>invited</b>, not accepted yet`}</span>
            <span class="quiet">${email}</span></p>
          ${changes && html`<a class="button second" href="${memberPath(id)}" aria-label="Change ${brief(name)}">Change</a>`}
        </li>`;
}

function inviteForm(
  human: Prover,
  { accountId }: MemberSection,
  { formToken, signs, draft = EMPTY }: NonNullable<MemberSection["inviting"]>,
  fault: Fault | undefined,
): Html {
  const ids = inviteFields(accountId);
  return html`${signingNeedsScript(signs)}<form method="post" action="${MEMBERS}/invite"${signedForm(`${MEMBERS}/invite`, signs)}>
        ${hiddenField("account_id", accountId)}
        ${hiddenField("form_token", formToken)}
        ${field({ name: "email", id: ids.email, label: "Email", type: "email", autocomplete: "off", value: draft.email, maxLength: 254, fault })}
        ${field({ name: "name", id: ids.name, label: "Name", type: "text", autocomplete: "off", value: draft.name, maxLength: NAME_AT_MOST, fault })}
        ${choice({ name: "role", id: ids.role, label: "Role", options: ROLES, value: draft.role, hint: ROLE_HINT })}
        ${signingField(human, signs, ids.password, fault)}
        <button type="submit"${signs && " disabled"}>Send invitation</button>
      </form>`;
}

/** The link of an invitation, where the service sends no mail: shown once, to hand over. */
export function invitedPage({ email, name }: { email: string; name: string }, url: string): Page {
  return {
    title: "Invitation link",
    body: html`
      <p class="notice">This service doesn’t send email. Copy the link now and give it to them. It won’t be shown again.</p>
      <dl class="terms">
        <div class="wide"><dt>Link</dt><dd><code class="secret">${url}</code></dd></div>
        <div class="wide"><dt>For</dt><dd>${named(name)} <span class="quiet">${email}</span></dd></div>
      </dl>
      <p>The link works once, for 24 hours. Give it only to this person: the first to open it sets the password.</p>
      <p><a class="button" href="${MEMBERS}">I’ve copied the link</a></p>`,
  };
}

/** One member, as an owner sees them. */
export type MemberView = {
  member: MemberRow;
  accountName: string;
  you: boolean;
  /** Whether the owner's passkey signs what is changed. */
  signs: boolean;
  formToken: string;
  role?: MemberRole | undefined;
  fault?: Fault | undefined;
};

/** `/settings/members/{id}`: another role, and the way out. */
export function memberPage(human: Prover, view: MemberView & { shown: string }): Page {
  const { member, accountName, you, signs, formToken, role, fault, shown } = view;
  const { id, email, name, status } = member;
  const invited = status === "invited";
  return {
    title: `Member: ${brief(name)}`,
    heading: html`${mentioned(name)}`,
    ...(signs ? PASSKEY_SCRIPT : presenceScript(human)),
    body: html`
      ${faultSummary(fault)}
      <dl class="terms">
        <div><dt>Email</dt><dd>${email}</dd></div>
        <div><dt>Account</dt><dd>${named(accountName)}</dd></div>
        <div><dt>Role</dt><dd>${ROLE_NAMES[member.role]}${invited && html` <span class="quiet">Invited, not accepted yet</span>`}</dd></div>
      </dl>
      ${
        invited
          ? html`<p>To send a new link or change the role, <a href="${MEMBERS}">invite them again</a>. The earlier link then stops working.</p>`
          : html`<h2>Change role</h2>
      ${signingNeedsScript(signs)}<form method="post" action="${memberPath(id)}/role"${signedForm(`${memberPath(id)}/role`, signs)}>
        ${hiddenField("shown", shown)}
        ${hiddenField("form_token", formToken)}
        ${choice({ name: "role", label: "Role", options: ROLES, value: role ?? member.role, hint: ROLE_HINT })}
        <p class="quiet">${you ? "This is you. With another role you can’t manage members any more." : "The change takes effect at once. They’ll be notified by email."}</p>
        ${signingField(human, signs, PASSWORD_FIELD, fault)}
        <button type="submit"${signs && " disabled"}>Change role</button>
      </form>`
      }
      <h2>${invited ? "Withdraw invitation" : you ? "Leave account" : "Remove member"}</h2>
      <p><a class="button second" href="${memberPath(id)}/remove">${invited ? "Withdraw invitation" : you ? "Leave account" : "Remove member"}</a></p>
      <p><a href="${MEMBERS}">All members</a></p>`,
  };
}

/** Asks before a member is removed, and what becomes of the keys and the webhooks that they have made. */
export function removePage(
  human: Prover,
  view: MemberView & {
    keys: readonly { name: string; preview: string }[];
    revokeKeys: boolean;
    webhooks: readonly Webhook[];
    deleteWebhooks: boolean;
  },
): Page {
  const { member, accountName, you, signs, formToken, fault, keys, revokeKeys, webhooks, deleteWebhooks } =
    view;
  const { id, name, email, status } = member;
  const invited = status === "invited";
  return {
    title: invited ? "Withdraw this invitation?" : you ? "Leave this account?" : "Remove this member?",
    ...(signs ? PASSKEY_SCRIPT : presenceScript(human)),
    body: html`
      ${faultSummary(fault)}
      ${
        invited
          ? html`<p>The link sent to <strong>${mentioned(name)}</strong> (${email}) will stop working.</p>`
          : html`<p>${you ? "You" : html`<strong>${mentioned(name)}</strong> (${email})`} will lose access to
        <strong>${mentioned(accountName)}</strong>. If a payment that ${you ? "you" : "they"} confirmed is still waiting for ${you ? "your" : "their"} bank, it’s cancelled
        and its approval becomes pending again. Other payments aren’t affected.</p>`
      }
      ${signingNeedsScript(signs)}<form method="post" action="${memberPath(id)}/remove"${signedForm(`${memberPath(id)}/remove`, signs)}>
        ${hiddenField("form_token", formToken)}
        ${
          keys.length > 0 &&
          html`<p>${you ? "You have" : "They have"} created these API keys and may still have them:</p>
        <ul>${keys.map((key) => html`<li>${mentioned(key.name)} <code>${key.preview}</code></li>`)}</ul>
        <label class="check"><input type="checkbox" name="revoke_keys" value="yes"${revokeKeys && " checked"}>
          <span>Revoke these keys too. Agents that use them will stop working</span></label>`
        }
        ${
          webhooks.length > 0 &&
          html`<p>${you ? "You have" : "They have"} created these webhooks, directly or with such keys. The account’s events are sent to them:</p>
        ${madeWebhooks(webhooks, {
          ticked: deleteWebhooks,
          says: "Delete these webhooks too. No more events will be sent to them",
        })}`
        }
        ${signingField(human, signs, PASSWORD_FIELD, fault)}
        <div class="choices">
          <button type="submit"${signs && " disabled"}>${invited ? "Withdraw invitation" : you ? "Leave account" : "Remove member"}</button>
          <a class="button second" href="${memberPath(id)}">${invited ? "Keep invitation" : you ? "Stay" : "Keep member"}</a>
        </div>
      </form>`,
  };
}
