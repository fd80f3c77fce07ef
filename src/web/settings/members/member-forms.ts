import { type Static, type TObject, Type } from "@sinclair/typebox";
import type { MemberRow } from "../../../accounts/member-service.ts";
import type { Trx } from "../../../database/connection.ts";
import type { MemberRole } from "../../../database/schema.ts";
import { isVisible } from "../../../lib/names.ts";
import type { Removal, RoleChange } from "../../../team/member-service.ts";
import { deleteMadeBy } from "../../../webhooks/by-hand-service.ts";
import type { Fault } from "../../kit/forms.ts";
import { PROOF, UUID } from "../../kit/person-routes.ts";
import { type InviteDraft, inviteFields, NAME_AT_MOST, ROLES } from "./member-pages.ts";

const Role = Type.Unsafe<MemberRole>({ type: "string", enum: ROLES.map(([role]) => role) });
export const INVITE_FIELDS = {
  ...PROOF,
  account_id: UUID,
  email: Type.String({ maxLength: 1_000 }),
  name: Type.String({ maxLength: 1_000 }),
  role: Role,
};
export const ROLE_FIELDS = { ...PROOF, role: Role, shown: Type.String({ maxLength: 30 }) };
export const REMOVE_FIELDS = {
  ...PROOF,
  revoke_keys: Type.Optional(Type.Literal("yes")),
  delete_webhooks: Type.Optional(Type.Literal("yes")),
};
export const PARAMS = { memberId: Type.String() };

type InviteForm = Static<TObject<typeof INVITE_FIELDS>>;
type RoleForm = Static<TObject<typeof ROLE_FIELDS>>;
type RemoveForm = Static<TObject<typeof REMOVE_FIELDS>>;

const EMAIL = /^[a-z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-z0-9-]+(\.[a-z0-9-]+)+$/i;
const EMAIL_AT_MOST = 254;

/** The change of role that a form requests. */
export function roleChangeOf(member: MemberRow, { role, shown }: RoleForm): RoleChange {
  return { member, role, shown };
}

/** The removal that a form requests. */
export function removalOf(
  accountId: string,
  member: MemberRow,
  { revoke_keys, delete_webhooks }: RemoveForm,
): Removal {
  const endWebhooks =
    delete_webhooks === "yes"
      ? (trx: Trx, userId: string) => deleteMadeBy(trx, accountId, { userId })
      : undefined;
  return { member, revokeKeys: revoke_keys === "yes", endWebhooks };
}

/** The invitation of a form, without surrounding white space. */
export function draftOf({ email, name, role }: InviteForm): InviteDraft {
  return { email: email.trim(), name: name.replaceAll(/\s+/g, " ").trim(), role };
}

/** The fault of an invitation, for the person who invites. */
export function faultIn({ email, name }: InviteDraft, accountId: string): Fault | undefined {
  const ids = inviteFields(accountId);
  if (!EMAIL.test(email) || email.length > EMAIL_AT_MOST)
    return { field: ids.email, message: "Enter an email address, such as ada@example.com." };
  if (!isVisible(name)) return { field: ids.name, message: "Enter a name." };
  return name.length > NAME_AT_MOST
    ? { field: ids.name, message: `Use at most ${NAME_AT_MOST} characters.` }
    : undefined;
}
