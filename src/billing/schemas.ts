import { type Static, Type } from "@sinclair/typebox";

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
