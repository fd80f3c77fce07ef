import { type Static, Type } from "@sinclair/typebox";
import { Time } from "../lib/schema.ts";

export const PaymentMethod = Type.Object(
  {
    id: Type.String(),
    brand: Type.String(),
    last4: Type.String(),
    expMonth: Type.Integer(),
    expYear: Type.Integer(),
    isDefault: Type.Boolean(),
  },
  { $id: "PaymentMethod" },
);
export type PaymentMethod = Static<typeof PaymentMethod>;

/** A charge in the sandbox's own books (CONTRACT.md §8). */
export const Charge = Type.Object(
  {
    id: Type.String(),
    idempotencyKey: Type.String(),
    amountCents: Type.Integer(),
    currency: Type.String(),
    status: Type.String({ enum: ["succeeded", "failed"] }),
    createdAt: Time,
    metadata: Type.Record(Type.String(), Type.String()),
  },
  { $id: "Charge" },
);
export type Charge = Static<typeof Charge>;
