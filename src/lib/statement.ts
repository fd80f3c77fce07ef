import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { canonicalDigest } from "./canonical.ts";
import { exact, nullable } from "./schema.ts";

const FUNDING_FIELDS = {
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
};

/** What a person who funds a milestone signs of it (docs/contract.md §1). Where each field is stored: `contracts/terms.ts`. */
export const FundingTerms = exact(FUNDING_FIELDS);
export type FundingTerms = Static<typeof FundingTerms>;

/** What a person who releases a milestone's money signs: the same, and the account that it is paid out to. */
export const ReleaseTerms = exact({ ...FUNDING_FIELDS, payout: exact({ account: Type.String() }) });
export type ReleaseTerms = Static<typeof ReleaseTerms>;

/** What a person who ends a contract signs: where the money of each funded milestone goes back to. */
export const EndTerms = exact({
  contractId: Type.String(),
  jobId: Type.String(),
  refunds: Type.Array(
    exact({
      milestoneId: Type.String(),
      amountCents: Type.Integer(),
      currency: Type.String(),
      to: Type.Unsafe<"card" | "credits">(
        Type.String({
          enum: ["card", "credits"],
          description:
            "Where the money came from. Refunds that a bank no longer accepts go to the account's credits.",
        }),
      ),
    }),
  ),
});
export type EndTerms = Static<typeof EndTerms>;

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
 * The statement of a change, in the form that every act has (docs/contract.md §1). It has no nonce: its challenge, which holds
 * its digest, is drawn for each showing.
 */
export function changeStatement({ action, accountId = "", terms }: Change) {
  const common = { v: 1, approvalId: null, decision: "confirm", source: null, nonce: null } as const;
  return { ...common, action, accountId: accountId || null, terms };
}

/** The terms of each act that can be signed. A new act is added here first. */
export type TermsOf = {
  milestone_fund: FundingTerms;
  milestone_approve: ReleaseTerms;
  contract_end: EndTerms;
};
export type Action = keyof TermsOf;
/** The acts that an agent asks for and a person decides, by an approval of the same name. */
export type ApprovalType = "milestone_fund" | "milestone_approve" | "contract_end";
export type ApprovalTerms = TermsOf[ApprovalType];

/** How much money an approval's terms move in all. */
export function sumOf(terms: ApprovalTerms): { amountCents: number; currency: string } {
  if (!("refunds" in terms)) return { amountCents: terms.amountCents, currency: terms.currency };
  const amountCents = terms.refunds.reduce((sum, refund) => sum + refund.amountCents, 0);
  return { amountCents, currency: terms.refunds[0]?.currency ?? "usd" };
}

const Decision = Type.Unsafe<"confirm" | "decline">(Type.String({ enum: ["confirm", "decline"] }));
export type Decision = Static<typeof Decision>;

/** What pays, as the person is shown it: a card, or the account's credits. */
const Source = Type.Union([
  exact({ kind: Type.Literal("card"), brand: Type.String(), last4: Type.String() }),
  exact({ kind: Type.Literal("credits"), brand: Type.Null(), last4: Type.Null() }),
]);
export type Source = Static<typeof Source>;

function statementSchema<A extends Action, T extends TSchema>(action: A, terms: T) {
  return exact({
    v: Type.Literal(1),
    action: Type.Literal(action, { description: "The act that this statement is good for, and no other." }),
    accountId: Type.String(),
    approvalId: Type.String(),
    decision: Decision,
    terms,
    source: Type.Union([Type.Null(), Source], {
      description: "What pays for a funding. Null for a decline, and where money that is held moves.",
    }),
    nonce: Type.String({
      description: "Drawn for each showing of the page: no two statements are the same.",
    }),
  });
}

/** The statements that receipts carry, by the type of the approval. */
export const STATEMENTS = {
  milestone_fund: statementSchema("milestone_fund", FundingTerms),
  milestone_approve: statementSchema("milestone_approve", ReleaseTerms),
  contract_end: statementSchema("contract_end", EndTerms),
};

/** What a person signs (docs/contract.md §1): one form for every act. What belongs to no approval has no `approvalId`. */
export type Statement<A extends Action = Action> = {
  [K in A]: Omit<Static<(typeof STATEMENTS)["milestone_fund"]>, "action" | "approvalId" | "terms"> & {
    action: K;
    approvalId: K extends ApprovalType ? string : null;
    terms: TermsOf[K];
  };
}[A];

/** SHA-256 over the statement's RFC 8785 form: what a passkey signs, and what receipts name. */
export function statementDigest(statement: Statement): Buffer {
  return canonicalDigest(statement);
}
