import { Type } from "@sinclair/typebox";
import type { AccountEventType } from "../../../events/schemas.ts";
import { EVENT_WORDS } from "./webhook-pages.ts";

const strict = { additionalProperties: false };
const token = { form_token: Type.String({ maxLength: 100 }) };
const password = { password: Type.Optional(Type.String({ maxLength: 1_024 })) };
const EventTypeName = Type.Unsafe<AccountEventType>({ type: "string", enum: Object.keys(EVENT_WORDS) });
export const AddForm = Type.Object(
  {
    ...token,
    account_id: Type.String({ format: "uuid" }),
    webhook_id: Type.String({ format: "uuid" }),
    url: Type.String({ maxLength: 4_096 }),
    // A form sends one of a name as text, several as a list, and none not at all.
    event_types: Type.Optional(Type.Union([EventTypeName, Type.Array(EventTypeName, { maxItems: 50 })])),
    ...password,
  },
  strict,
);
export const RotateForm = Type.Object(
  { ...token, ...password, shown: Type.String({ maxLength: 30 }) },
  strict,
);
export const RedeliverForm = Type.Object({ ...token, delivery_id: Type.String({ maxLength: 100 }) }, strict);
export const DeleteForm = Type.Object({ ...token, ...password }, strict);
export const Params = Type.Object({ webhookId: Type.String() });
export const Query = Type.Object({
  said: Type.Optional(Type.Unsafe<unknown>({})),
  before: Type.Optional(Type.Unsafe<unknown>({})),
});
