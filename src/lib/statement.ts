import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { canonicalDigest } from "./canonical.ts";
import { exact, nullable } from "./schema.ts";

/** What a person who funds a milestone signs of it (CONTRACT.md §1). Where each field is stored: `contracts/terms.ts`. */
export const FundingTerms = exact({
  amountCents: Type.Integer(),
  currency: Type.String(),
  milestoneId: Type.String(),
  description: Type.String(),
  contractId: Type.String(),
  jobId: Type.String(),
  payee: exact({
    userId: Type.String(),
    displayName: Type.String(),
    payoutAccount: nullable(Type.String()),
  }),
});
export type FundingTerms = Static<typeof FundingTerms>;

/** What a person signs who changes passkeys, members or the policy: what the page shows of it, from what to what. */
export type ChangeTerms = {
  subject: { kind: string; id: string };
  /** Null: it did not exist before. */
  from: Readonly<Record<string, string | number | boolean | null>> | null;
  to: Readonly<Record<string, string | number | boolean | null>>;
};

/** A change that a person signs. `accountId` is absent for what belongs to the person, and so to each of their accounts. */
export type Change = { action: "policy" | "passkey" | "member"; accountId?: string; terms: ChangeTerms };

/**
 * The statement of a change, in the form that every act has (CONTRACT.md §1). It has no nonce: its challenge, which holds
 * its digest, is drawn for each showing.
 */
export function changeStatement({ action, accountId = "", terms }: Change) {
  const common = { v: 1, approvalId: null, decision: "confirm", source: null, nonce: null } as const;
  return { ...common, action, accountId: accountId || null, terms };
}

/** The terms of each act that can be signed. A new act is added here first. */
export type TermsOf = {
  milestone_fund: FundingTerms;
};
export type Action = keyof TermsOf;

const Decision = Type.Unsafe<"confirm" | "decline">(Type.String({ enum: ["confirm", "decline"] }));
export type Decision = Static<typeof Decision>;

/** What pays, as the person is shown it. */
const Source = exact({ kind: Type.Literal("card"), brand: Type.String(), last4: Type.String() });

function statementSchema<A extends Action, T extends TSchema>(action: A, terms: T) {
  return exact({
    v: Type.Literal(1),
    action: Type.Literal(action, { description: "The act that this statement is good for, and no other." }),
    accountId: Type.String(),
    approvalId: Type.String(),
    decision: Decision,
    terms,
    source: Type.Union([Type.Null(), Source], { description: "Null when nothing is paid: for a decline." }),
    nonce: Type.String({
      description: "Drawn for each showing of the page: no two statements are the same.",
    }),
  });
}

/** The statements that receipts carry. */
export const FundingStatement = statementSchema("milestone_fund", FundingTerms);

/** What a person signs (CONTRACT.md §1): one form for every act. What belongs to no approval has no `approvalId`. */
export type Statement<A extends Action = Action> = {
  [K in A]: Omit<Static<typeof FundingStatement>, "action" | "approvalId" | "terms"> & {
    action: K;
    approvalId: K extends "milestone_fund" ? string : null;
    terms: TermsOf[K];
  };
}[A];

/** SHA-256 over the statement's RFC 8785 form: what a passkey signs, and what receipts name. */
export function statementDigest(statement: Statement): Buffer {
  return canonicalDigest(statement);
}
