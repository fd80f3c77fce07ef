import { type Static, Type } from "@sinclair/typebox";
import type { MemberRow } from "../../../accounts/member-service.ts";
import type { Trx } from "../../../database/connection.ts";
import type { MemberRole } from "../../../database/schema.ts";
import { isVisible } from "../../../lib/names.ts";
import type { Removal, RoleChange } from "../../../team/member-service.ts";
import { deleteMadeBy } from "../../../webhooks/by-hand-service.ts";
import type { Fault } from "../../kit/forms.ts";
import { Credential } from "../security/passkey-routes.ts";
import { type InviteDraft, inviteFields, NAME_AT_MOST, ROLES } from "./member-pages.ts";

const strict = { additionalProperties: false };
const token = { form_token: Type.String({ maxLength: 100 }) };
const proof = {
  password: Type.Optional(Type.String({ maxLength: 1_024 })),
  credential: Type.Optional(Credential),
};
const Role = Type.Unsafe<MemberRole>({ type: "string", enum: ROLES.map(([role]) => role) });
export const InviteForm = Type.Object(
  {
    ...token,
    ...proof,
    account_id: Type.String({ format: "uuid" }),
    email: Type.String({ maxLength: 1_000 }),
    name: Type.String({ maxLength: 1_000 }),
    role: Role,
  },
  strict,
);
export const RoleForm = Type.Object(
  { ...token, ...proof, role: Role, shown: Type.String({ maxLength: 30 }) },
  strict,
);
export const RemoveForm = Type.Object(
  {
    ...token,
    ...proof,
    revoke_keys: Type.Optional(Type.Literal("yes")),
    delete_webhooks: Type.Optional(Type.Literal("yes")),
  },
  strict,
);
export const Params = Type.Object({ memberId: Type.String() });

const EMAIL = /^[a-z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-z0-9-]+(\.[a-z0-9-]+)+$/i;
const EMAIL_AT_MOST = 254;

/** The change of role that a form asks for. */
export function roleChangeOf(member: MemberRow, { role, shown }: Static<typeof RoleForm>): RoleChange {
  return { member, role, shown };
}

/** The removal that a form asks for, with what goes along. */
export function removalOf(
  accountId: string,
  member: MemberRow,
  { revoke_keys, delete_webhooks }: Static<typeof RemoveForm>,
): Removal {
  const endWebhooks =
    delete_webhooks === "yes"
      ? (trx: Trx, userId: string) => deleteMadeBy(trx, accountId, { userId })
      : undefined;
  return { member, revokeKeys: revoke_keys === "yes", endWebhooks };
}

/** What a form says of whom to invite, without what surrounds it. */
export function draftOf({ email, name, role }: Static<typeof InviteForm>): InviteDraft {
  return { email: email.trim(), name: name.replaceAll(/\s+/g, " ").trim(), role };
}

/** What is wrong with it, for the person who invites. */
export function faultIn({ email, name }: InviteDraft, accountId: string): Fault | undefined {
  const ids = inviteFields(accountId);
  if (!EMAIL.test(email) || email.length > EMAIL_AT_MOST)
    return { field: ids.email, message: "Enter an email address, such as ada@example.com." };
  if (!isVisible(name)) return { field: ids.name, message: "Enter a name." };
  return name.length > NAME_AT_MOST
    ? { field: ids.name, message: `Use at most ${NAME_AT_MOST} characters.` }
    : undefined;
}
