import { Type } from "@sinclair/typebox";
import { OneToken, TokenList } from "../accounts/schemas.ts";
import { ApprovalRequested, ContractEnded, OneApproval } from "../approvals/schemas.ts";
import {
  CreditLedger,
  CreditLedgerQuery,
  Credits,
  NewTopUp,
  OneTopUp,
  TopUpAsked,
} from "../billing/credit-schemas.ts";
import { PendingPayments } from "../billing/schemas.ts";
import { IDEMPOTENCY_KEY_PATTERN } from "../http/idempotency.ts";
import { ref } from "../lib/schema.ts";
import { OneWebhook, WebhookBody, WebhookCreated, WebhookDeleted, WebhookList } from "../webhooks/schemas.ts";

const STRICT = { additionalProperties: false } as const;
const Nothing = Type.Object({}, STRICT);
const id = (description: string) => Type.String({ minLength: 1, description });

const MilestoneId = id("Id of a milestone, from a contract's `milestones`.");
const ContractId = id("Id of a contract, from opentrain_list_contracts.");
const ApprovalId = id("`approval.id`, as it was answered to the request.");
const WebhookId = id("Id of a webhook, from opentrain_list_webhooks.");

/** What the tools take that are about an account's requests, credits, webhooks and tokens. */
export const ACCOUNT_INPUTS = {
  opentrain_request_milestone_approval: Type.Object({ milestoneId: MilestoneId }, STRICT),
  opentrain_end_contract: Type.Object({ contractId: ContractId }, STRICT),
  opentrain_withdraw_approval: Type.Object({ approvalId: ApprovalId }, STRICT),
  opentrain_get_credits: Nothing,
  opentrain_list_credit_ledger: Type.Object(CreditLedgerQuery.properties, STRICT),
  opentrain_create_credit_top_up: Type.Object(
    {
      ...NewTopUp.properties,
      idempotencyKey: Type.Optional(
        Type.String({
          pattern: IDEMPOTENCY_KEY_PATTERN,
          description:
            "A key of your own for this one top-up, such as a UUID. If an answer is lost, call again with the same key and " +
            "arguments: that makes no second one.",
        }),
      ),
    },
    STRICT,
  ),
  opentrain_get_credit_top_up: Type.Object(
    { topUpId: id("`topUpId`, as opentrain_create_credit_top_up answered it.") },
    STRICT,
  ),
  opentrain_list_pending_payments: Nothing,
  opentrain_create_webhook: Type.Object(WebhookBody.properties, STRICT),
  opentrain_list_webhooks: Nothing,
  opentrain_get_webhook: Type.Object({ webhookId: WebhookId }, STRICT),
  opentrain_delete_webhook: Type.Object({ webhookId: WebhookId }, STRICT),
  opentrain_list_tokens: Nothing,
  opentrain_revoke_token: Type.Object({ tokenId: id("Id of a token, from opentrain_list_tokens.") }, STRICT),
} as const;

const READS = { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false };
const ASKS = { readOnlyHint: false, destructiveHint: false, idempotentHint: true, openWorldHint: false };
const ADDS = { readOnlyHint: false, destructiveHint: false, idempotentHint: false, openWorldHint: false };
const ENDS = { readOnlyHint: false, destructiveHint: true, idempotentHint: true, openWorldHint: false };

export const ACCOUNT_TOOLS = {
  opentrain_request_milestone_approval: {
    title: "Ask a human to release a milestone's money",
    description:
      "Asks for the money that is held for a funded milestone to be paid out to its payee. It never moves money and never " +
      "decides: it records a pending approval, which a signed-in human confirms or declines at `approval.approvalUrl`. Give " +
      "your human that link as it is, then call opentrain_wait_for_approval. Asking again answers the same approval.",
    outputSchema: ApprovalRequested,
    annotations: ASKS,
  },
  opentrain_end_contract: {
    title: "End a contract, or ask a human to",
    description:
      "A contract without funded milestones ends at once: nothing more can be funded under it, which cannot be undone. With " +
      "funded ones a pending approval is recorded: a signed-in human confirms or declines it at `approval.approvalUrl`, and " +
      "confirming refunds each of them. Give your human that link as it is.",
    outputSchema: Type.Object({
      ...Type.Partial(ApprovalRequested).properties,
      ...Type.Partial(ContractEnded).properties,
    }),
    annotations: ENDS,
  },
  opentrain_withdraw_approval: {
    title: "Withdraw a request",
    description:
      "Ends a pending approval that your own token, or one of the same root, asked for: it then reads `expired` with the " +
      "reason `withdrawn`. It decides nothing: a person's confirmation that is under way is not stopped.",
    outputSchema: OneApproval,
    annotations: ENDS,
  },
  opentrain_get_credits: {
    title: "Read the account's credits",
    description:
      "Reads the balances, in cents, and the ten newest entries. Fundings may be drawn from credits, as the account's owner " +
      "has set it up; the page that the human confirms says what pays. Changes nothing.",
    outputSchema: Type.Object({ credits: ref(Credits) }),
    annotations: READS,
  },
  opentrain_list_credit_ledger: {
    title: "List what moved the credits",
    description:
      "Lists the entries of the account's credits, newest first. Pass `nextCursor` as `cursor` for older ones. Changes nothing.",
    outputSchema: CreditLedger,
    annotations: READS,
  },
  opentrain_create_credit_top_up: {
    title: "Ask a human to add credits",
    description:
      "Asks for credits to be added, for 10 to 10,000 dollars. It moves no money: a signed-in owner or approver pays at " +
      "`checkoutUrl` within 24 hours, by a card that they give there. Give your human that link as it is. Each call makes " +
      "another top-up: pass an `idempotencyKey`, so that you can repeat a call whose answer you did not get.",
    outputSchema: TopUpAsked,
    annotations: ADDS,
  },
  opentrain_get_credit_top_up: {
    title: "Read a top-up",
    description:
      "`PENDING`: not paid yet. `COMPLETED`: it was paid, and the credits are available. `EXPIRED`: it was not paid in " +
      "time; ask again if it is still wanted. Changes nothing.",
    outputSchema: OneTopUp,
    annotations: READS,
  },
  opentrain_list_pending_payments: {
    title: "List the payments that are pending",
    description:
      "Lists what a human has confirmed and what waits: for the bank, for the human, or for the processor. Changes nothing.",
    outputSchema: PendingPayments,
    annotations: READS,
  },
  opentrain_create_webhook: {
    title: "Subscribe a URL to events",
    description:
      "Sends each event of the types, from now on, to an https URL, signed with the `secret` that is answered this once. The " +
      "account's owners are mailed. opentrain_poll_updates needs no URL.",
    outputSchema: WebhookCreated,
    annotations: ADDS,
  },
  opentrain_list_webhooks: {
    title: "List webhooks",
    description: "Lists the account's webhooks, newest first, those of members too. Changes nothing.",
    outputSchema: WebhookList,
    annotations: READS,
  },
  opentrain_get_webhook: {
    title: "Read a webhook",
    description: "Reads one webhook; one that is `DISABLED` says why. Changes nothing.",
    outputSchema: OneWebhook,
    annotations: READS,
  },
  opentrain_delete_webhook: {
    title: "Delete a webhook",
    description:
      "Deletes a webhook that your own root token made: what was still to be sent to it is not sent. The owners are mailed.",
    outputSchema: WebhookDeleted,
    annotations: ENDS,
  },
  opentrain_list_tokens: {
    title: "List tokens",
    description: "Lists the account's tokens, newest first, without their secrets. Changes nothing.",
    outputSchema: TokenList,
    annotations: READS,
  },
  opentrain_revoke_token: {
    title: "Revoke a token",
    description:
      "Revokes a token at once, for ever, with all that it has minted: your own, or one that your root token or a descendant " +
      "of it minted. Revoking your own ends this connection. The owners are mailed.",
    outputSchema: OneToken,
    annotations: ENDS,
  },
};
