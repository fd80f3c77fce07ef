import { type Static, Type } from "@sinclair/typebox";
import { exact, nullable, Time } from "../lib/schema.ts";
import { type ApprovalType, EndTerms, FundingTerms, ReleaseTerms, STATEMENTS } from "../lib/statement.ts";

const Digest = Type.String({ pattern: "^[0-9a-f]{64}$", description: "SHA-256, in hex." });
const Bytes = Type.String({ pattern: "^[A-Za-z0-9_-]+$", description: "Bytes in base64url." });
const Cents = Type.Integer();

const Proof = Type.Union([
  exact({
    kind: Type.Literal("passkey"),
    provedAt: Time,
    credentialId: Bytes,
    publicKey: Bytes,
    authenticatorData: Bytes,
    clientDataJSON: Bytes,
    signature: Bytes,
    rpId: Type.String(),
    origin: Type.String(),
  }),
  exact({ kind: Type.Literal("password"), provedAt: Time }),
  exact({ kind: Type.Literal("session"), provedAt: Time }),
]);
export type Proof = Static<typeof Proof>;

const Signed = exact({
  digest: Digest,
  statement: Type.Union([STATEMENTS.milestone_fund, STATEMENTS.milestone_approve, STATEMENTS.contract_end]),
  signedBy: exact({ userId: Type.String(), name: Type.String(), email: nullable(Type.String()) }),
  signedAt: Time,
  proof: Proof,
  signersRequired: Type.Union([Type.Literal(1), Type.Literal(2)], {
    description: "How many people had to sign for the decision to count, when this was signed.",
  }),
});
export type Signed = Static<typeof Signed>;

const CONTENT = {
  v: Type.Literal(1),
  accountId: Type.String(),
  accountName: Type.String(),
  approval: exact({
    id: Type.String(),
    type: Type.Unsafe<ApprovalType>(Type.String({ enum: Object.keys(STATEMENTS) })),
    status: Type.String({ enum: ["confirmed", "declined"] }),
    coSign: Type.String({ enum: ["session", "passkey"] }),
    secondSignerFromCents: nullable(
      Type.Integer({
        minimum: 1,
        description:
          "The sum within 24 hours from which two people had to sign, when the approval was requested; null: no limit.",
      }),
    ),
    contractId: Type.String(),
    milestoneId: nullable(Type.String()),
    jobId: Type.String(),
    createdAt: Time,
    expiresAt: Time,
    resolvedAt: Time,
    result: Type.Unsafe<Record<string, unknown> | null>({
      type: ["object", "null"],
      additionalProperties: true,
      description: "The result, as in `GET /approvals/{approvalId}`.",
    }),
  }),
  terms: Type.Union([ReleaseTerms, FundingTerms, EndTerms]),
  askedBy: exact({ tokenId: Type.String(), name: Type.String(), preview: Type.String() }),
  statements: Type.Array(Signed, {
    description:
      "Every statement that people signed, oldest first. A refused card leads to another one. A statement that no " +
      "payment names had no effect.",
  }),
  payments: Type.Array(
    exact({
      id: Type.String(),
      kind: Type.Unsafe<"charge" | "payout" | "refund">(
        Type.String({ enum: ["charge", "payout", "refund"] }),
      ),
      milestoneId: Type.String(),
      status: Type.String({ enum: ["succeeded", "refused"] }),
      amountCents: Cents,
      currency: Type.String(),
      processor: Type.String(),
      intentId: nullable(Type.String({ description: "The processor's id of a charge." })),
      sentId: nullable(Type.String({ description: "The processor's id of a payout or a refund." })),
      refusal: Type.Union([Type.Null(), exact({ code: Type.String(), message: nullable(Type.String()) })]),
      createdAt: Time,
      resolvedAt: Time,
      statements: Type.Array(Digest, {
        minItems: 1,
        maxItems: 2,
        description: "The digests of the statements that it was made for, oldest first.",
      }),
    }),
    { description: "Every attempt to move money, oldest first." },
  ),
  credits: Type.Array(
    exact({
      id: Type.String(),
      type: Type.Unsafe<"HOLD" | "CAPTURE" | "HOLD_RELEASE" | "REFUND">(
        Type.String({ enum: ["HOLD", "CAPTURE", "HOLD_RELEASE", "REFUND"] }),
      ),
      milestoneId: Type.String(),
      amountCents: Type.Integer({ description: "Signed, on the available balance." }),
      createdAt: Time,
      statements: Type.Array(Digest, {
        maxItems: 2,
        description:
          "The digests of the statements that it was written for; none where a payment names them.",
      }),
    }),
    { description: "Every entry of the account's credits that the decision made, oldest first." },
  ),
  ledger: Type.Array(
    exact({
      transactionId: Type.String(),
      line: Type.Integer(),
      account: Type.String(),
      amountCents: Cents,
      currency: Type.String(),
    }),
    { description: "What was booked. The lines of a movement sum to zero." },
  ),
};

const LINK = { index: Type.Integer({ minimum: 1 }), previousDigest: Digest };

/** What is linked. Its RFC 8785 text is stored and digested. */
export const LinkedContent = exact({ ...CONTENT, chain: exact(LINK) });
export type LinkedContent = Static<typeof LinkedContent>;

/** A decision, before it has its place in the chain. */
export type ReceiptContent = Omit<LinkedContent, "chain">;

/** A receipt on the wire (docs/contract.md §1). */
export const Receipt = Type.Object(
  {
    ...CONTENT,
    chain: exact({
      ...LINK,
      digest: Type.String({
        pattern: "^[0-9a-f]{64}$",
        description:
          "SHA-256 over the RFC 8785 form of the receipt without `signature` and without this field.",
      }),
    }),
    signature: Type.Object(
      { protected: Bytes, signature: Bytes },
      {
        additionalProperties: false,
        description:
          "A JSON Web Signature with detached payload: the payload is the RFC 8785 form of the receipt without " +
          "`signature`. The public keys are at `/.well-known/jwks.json`.",
      },
    ),
  },
  { $id: "Receipt", additionalProperties: false },
);
export type Receipt = Static<typeof Receipt>;
