import { type Static, Type } from "@sinclair/typebox";
import { nullable, ref, Time } from "../lib/schema.ts";

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

/** A charge in the sandbox's record (docs/contract.md §8). */
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

/** A confirmed payment that waits, by its invoice (docs/contract.md §5). */
export const PendingPayment = Type.Object(
  {
    id: Type.String({ description: "The invoice's." }),
    status: Type.String({ enum: ["PENDING_FUNDING", "PENDING_PAYOUT"] }),
    invoiceKind: Type.String({ enum: ["FUNDING", "PAYOUT"] }),
    viewerRole: Type.Literal("EMPLOYER"),
    amountUsd: Type.Number(),
    createdAt: Time,
    invoiceNumber: Type.Integer({ minimum: 1, description: "1, 2, 3 … in the account, without gaps." }),
    job: Type.Object({ id: Type.String(), title: Type.Null() }),
    milestone: Type.Object({ id: Type.String(), name: nullable(Type.String()) }),
  },
  { $id: "PendingPayment" },
);
export type PendingPayment = Static<typeof PendingPayment>;

export const PendingPayments = Type.Object({ payments: Type.Array(ref(PendingPayment)) });
