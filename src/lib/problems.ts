/**
 * Every problem that Countersign can answer, in one table (docs/contract.md §0 and §1). Services throw a row by its name; the
 * error handler, the OpenAPI document and docs/errors.md read the rest. A row with `true` carries its own name as
 * `details.reason`.
 */
const catalogue = {
  bad_request: [400, "BAD_REQUEST", "The request is not valid. `details.field` names what to correct."],
  cursor_ahead: [
    400,
    "BAD_REQUEST",
    "The cursor is beyond the last event. Continue from `details.latestCursor`.",
    true,
  ],
  cursor_expired: [
    400,
    "BAD_REQUEST",
    "Events after the cursor are no longer kept. Continue from `details.oldestCursor`.",
    true,
  ],
  unauthorized: [
    401,
    "UNAUTHORIZED",
    "A valid API token is required: send it as `Authorization: Bearer ot_pat_…`.",
  ],
  session_ended: [401, "UNAUTHORIZED", "You’re signed out, so nothing was done. Sign in and try again."],
  scope_missing: [
    403,
    "FORBIDDEN",
    "This token lacks a scope that the call needs. A human can create one that has it at `details.tokensUrl`.",
  ],
  feature_disabled: [
    403,
    "FORBIDDEN",
    "This feature is not enabled for the account. The operator of this service can enable it.",
  ],
  form_refused: [
    403,
    "FORBIDDEN",
    "This form has expired or was not sent from this site. Reload the page and send it again.",
  ],
  origin_refused: [
    403,
    "FORBIDDEN",
    "This address is for programs, not for pages of another site. Call it without an `Origin` header.",
  ],
  account_claim_required: [
    403,
    "FORBIDDEN",
    "A human must claim this account first. Send them to `details.claimUrl`.",
    true,
  ],
  made_by_another_key: [
    403,
    "FORBIDDEN",
    "A person or another API key made this. A token can change only what its own root token, or a token that descends from it, made.",
    true,
  ],
  account_frozen: [
    403,
    "FORBIDDEN",
    "The operator of this service has frozen this account. Nothing can be requested, confirmed or added until they unfreeze it.",
    true,
  ],
  not_permitted: [403, "FORBIDDEN", "Your role in this account doesn’t allow this. Ask an owner."],
  not_found: [404, "NOT_FOUND", "Not found, or you don’t have access to it."],
  method_not_allowed: [
    405,
    "BAD_REQUEST",
    "This address does not accept that method. The `Allow` header lists the methods that it accepts.",
  ],
  body_too_large: [413, "BAD_REQUEST", "The request body is larger than this call accepts."],
  idempotency_key_reused: [
    422,
    "BAD_REQUEST",
    "This `Idempotency-Key` was sent with another request. Send a new key with a new request.",
  ],
  unsupported_media_type: [415, "BAD_REQUEST", "Send the body as `Content-Type: application/json`."],
  contract_ended: [
    409,
    "CONFLICT",
    "The contract has ended: nothing more can be funded or changed under it.",
    true,
  ],
  contract_rate_missing: [
    409,
    "CONFLICT",
    "This contract is paid by volume and has no rate yet, so no amount can be worked out. The operator sets the rate.",
    true,
  ],
  milestone_limit_reached: [
    409,
    "CONFLICT",
    "The contract has reached its limit of milestones or of text in them. The operator can cancel those that are not needed, or create another contract.",
    true,
  ],
  list_too_large: [
    409,
    "CONFLICT",
    "This list is larger than one answer may be. Narrow it by `jobId` or `status`, or read contracts one by one.",
    true,
  ],
  milestone_cancelled: [409, "CONFLICT", "The milestone was cancelled.", true],
  milestone_not_fundable: [
    409,
    "CONFLICT",
    "Only a milestone that is NOT_FUNDED can be funded or changed; `details.status` says where this one stands.",
    true,
  ],
  milestone_funded: [
    409,
    "CONFLICT",
    "The contract has a funded milestone: `details.milestoneIds`. It cannot end or change its payee until that money is released or refunded.",
    true,
  ],
  milestone_not_funded: [
    409,
    "CONFLICT",
    "Only a milestone that is ACTIVE_FUNDED can be released; `details.status` says where this one stands.",
    true,
  ],
  payment_disputed: [
    409,
    "CONFLICT",
    "The payment that funded this is disputed or partly refunded: `details.status`. The money moves once that is decided.",
    true,
  ],
  payout_account_required: [
    409,
    "CONFLICT",
    "The payee has no payout account yet. The operator of this service sets it.",
    true,
  ],
  payment_method_required: [
    409,
    "CONFLICT",
    "There is no card on file. A human can add one at `details.billingUrl`.",
    true,
  ],
  payment_in_progress: [
    409,
    "CONFLICT",
    "A payment for this milestone is in progress. Try again when its outcome is known.",
    true,
  ],
  request_in_progress: [
    409,
    "CONFLICT",
    "A request with this `Idempotency-Key` is still running. Send it again in a moment to learn its answer.",
    true,
  ],
  already_decided: [409, "CONFLICT", "This approval was already decided or has expired.", true],
  no_receipt: [
    409,
    "CONFLICT",
    "This approval has no receipt. It hasn’t been confirmed or declined, or that happened before receipts were kept.",
    true,
  ],
  statement_stale: [
    409,
    "CONFLICT",
    "Something changed after you opened this page. Check it again before you decide.",
    true,
  ],
  passkey_required: [
    409,
    "CONFLICT",
    "This account confirms with passkeys only. Turn on JavaScript and confirm with your passkey.",
    true,
  ],
  passkey_refused: [
    409,
    "CONFLICT",
    "That passkey wasn’t accepted. It may have been removed, belong to someone else, or not have verified your fingerprint, face or PIN.",
    true,
  ],
  challenge_expired: [
    409,
    "CONFLICT",
    "This passkey request has expired or was replaced by a newer one in another tab. Confirm again.",
    true,
  ],
  passkeys_unavailable: [
    409,
    "CONFLICT",
    "Passkeys don’t work at this service’s address: they need https and a domain name.",
    true,
  ],
  passkey_limit_reached: [
    409,
    "CONFLICT",
    "You’ve reached the limit of passkeys. Remove one that you don’t use first.",
    true,
  ],
  presence_expired: [
    409,
    "CONFLICT",
    "More than 5 minutes have passed since you last confirmed with your password or passkey. Try again.",
    true,
  ],
  session_replaced: [
    409,
    "CONFLICT",
    "Your sign-in was renewed in another tab or request, so nothing was done. Reload the page and try again.",
    true,
  ],
  passkey_proof_required: [
    409,
    "CONFLICT",
    "This account confirms with passkeys only. Sign in with an active passkey before you change its members, passkeys or policy.",
    true,
  ],
  act_signature_required: [
    409,
    "CONFLICT",
    "This account confirms with passkeys only, so you must sign this change with your passkey. Turn on JavaScript and try again. Lost all your passkeys? Remove them under Settings → Security first.",
    true,
  ],
  own_passkey_required: [
    409,
    "CONFLICT",
    "Your password was set by an emailed link and you have passkeys. Before you join an account, sign in with one of them, or remove those that you don’t recognise under Settings → Security.",
    true,
  ],
  passkey_missing: [
    409,
    "CONFLICT",
    "No owner of the account has an active passkey, so no one could confirm. An owner must add one first.",
    true,
  ],
  co_sign_loosening: [409, "CONFLICT", "Only an owner of the account can loosen its co-sign policy.", true],
  second_person_missing: [
    409,
    "CONFLICT",
    "In this account two people must agree to this change, and you’re the only one so far. Ask the operator of this service to invite another owner or approver. Then your consent to them is enough.",
    true,
  ],
  amount_untyped: [
    409,
    "CONFLICT",
    "Nothing was confirmed. Other payments of this account were confirmed meanwhile, so type the amount to confirm this one.",
    true,
  ],
  second_decider_missing: [
    409,
    "CONFLICT",
    "You’re the only person who can confirm in this account. Invite another owner or approver first: two people could never sign.",
    true,
  ],
  second_signer_loosening: [
    409,
    "CONFLICT",
    "The operator can set or lower the amount from which a second person signs, and not raise or remove it.",
    true,
  ],
  token_limit_reached: [
    409,
    "CONFLICT",
    "The account has reached its limit of active tokens. Revoke one first.",
    true,
  ],
  top_up_limit_reached: [
    409,
    "CONFLICT",
    "The account has reached its limit of pending top-ups. Pay for one, or wait until one expires.",
    true,
  ],
  top_up_ended: [
    409,
    "CONFLICT",
    "You can no longer pay this top-up: it is completed or has expired. Request another one.",
    true,
  ],
  webhook_limit_reached: [
    409,
    "CONFLICT",
    "The account has reached its limit of webhooks. Delete one first.",
    true,
  ],
  webhook_disabled: [409, "CONFLICT", "This webhook is disabled. Delete it and create a new one.", true],
  member_active: [
    409,
    "CONFLICT",
    "This person is already a member. The account’s owners can change or remove them.",
    true,
  ],
  last_owner: [
    409,
    "CONFLICT",
    "An account needs at least one owner. Make someone else an owner first.",
    true,
  ],
  unknown_payment_method: [
    409,
    "CONFLICT",
    "The processor does not know this payment method, or refuses it.",
    true,
  ],
  rate_limited: [
    429,
    "RATE_LIMITED",
    "Too many requests. Wait for `details.retryAfterSeconds`, then try again.",
  ],
  too_many_pending: [
    429,
    "RATE_LIMITED",
    "Too many approvals of this account are pending. Wait until some are decided.",
    true,
  ],
  internal_error: [
    500,
    "INTERNAL_ERROR",
    "Something went wrong on our side. Quote the request id when you report it.",
  ],
  payments_paused: [
    503,
    "UNAVAILABLE",
    "The operator of this service has paused all payments. Try again after `details.retryAfterSeconds`.",
    true,
  ],
  unavailable: [
    503,
    "UNAVAILABLE",
    "The service is temporarily unavailable. Nothing was lost. Try again shortly.",
  ],
} as const satisfies Record<string, readonly [number, string, string, true?]>;

export type ProblemName = keyof typeof catalogue;
export type Details = Record<string, unknown>;

/** One row of the catalogue. */
export type ProblemRow = {
  name: ProblemName;
  status: number;
  code: string;
  message: string;
  hasReason: boolean;
};

/** Every problem, in the order of the catalogue, for documents and the OpenAPI description. */
export const problemRows: readonly ProblemRow[] = Object.entries(catalogue).map(
  ([name, [status, code, message, hasReason]]) => ({
    name: name as ProblemName,
    status,
    code,
    message,
    hasReason: hasReason ?? false,
  }),
);

const rowsByName = new Map(problemRows.map((row) => [row.name, row]));

/** The row of that name. */
export function problemRow(name: ProblemName): ProblemRow {
  const row = rowsByName.get(name);
  if (row === undefined) throw new TypeError(`no such problem: ${name}`);
  return row;
}

/** A refused request. Services throw it by name, without its status. */
export class Problem extends Error {
  readonly problem: ProblemName;
  readonly details: Details | undefined;

  constructor(problem: ProblemName, details?: Details, message?: string) {
    const row = problemRow(problem);
    super(message ?? row.message);
    this.name = "Problem";
    this.problem = problem;
    this.details = row.hasReason ? { reason: problem, ...details } : details;
  }
}

/** 404; the same for another account's resource and for an unknown one (invariant 10). */
export function notFound(resource: string, idName: string, id: string): Problem {
  return new Problem("not_found", { resource, [idName]: id });
}

/** 400 that names the invalid field and says what would be valid. */
export function badField(field: string, message: string): Problem {
  return new Problem("bad_request", { field }, message);
}

/** 503 for requests and confirmations while the operator has paused all payments (docs/contract.md §8). */
export function paymentsPaused(): Problem {
  return new Problem("payments_paused", { retryAfterSeconds: PAUSED_RETRY_SECONDS });
}

const PAUSED_RETRY_SECONDS = 60;
