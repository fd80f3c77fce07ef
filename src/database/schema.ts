import type { ColumnType, Generated } from "kysely";
import type { ApprovalTerms, ApprovalType, ChangeTerms, Statement } from "../lib/statement.ts";

export type { ApprovalType } from "../lib/statement.ts";

/**
 * The tables, as Kysely sees them; `migrations/` makes them. Every table of an account has `account_id`
 * first in its primary key (docs/design.md, invariant 9).
 */
export type Database = {
  accounts: {
    account_id: string;
    id: string;
    name: string;
    claimed_at: Date | null;
    features: Json<Record<string, boolean>>;
    billing: Billing;
    co_sign: CoSign;
    /** From this sum in 24 hours on, a second person must sign; null: never. */
    second_signer_from_cents: number | null;
    /** From this sum in 24 hours on, a person types the amount; null: from the operator's. */
    amount_typed_from_cents: Generated<number | null>;
    /** When the owners were last mailed what tokens did to keys and webhooks. */
    acts_mailed_at: Generated<Date | null>;
    /** While it is, nothing new is asked for, confirmed or added in it. */
    frozen: Generated<boolean>;
    created_at: Date;
    updated_at: Date;
  };
  /** Taken last by every transaction that writes events (docs/design.md, invariants 6 and 11). */
  account_heads: {
    account_id: string;
    first_event: number;
    last_event: number;
    /** The number of the newest invoice. */
    last_invoice: Generated<number>;
    chain_index: number;
    chain_digest: Buffer;
    /** The next link comes after this, too. */
    chain_floor: Generated<number>;
    /** The run of the server in which the row was last written: in another one, numbers that were given may be lost. */
    run: Generated<string>;
  };
  members: {
    account_id: string;
    id: string;
    email: string;
    name: string;
    role: MemberRole;
    status: MemberStatus;
    /** The person's sign-in, once the invitation was accepted. */
    user_id: string | null;
    /** When they were last mailed of approvals that wait. */
    mailed_at: Generated<Date | null>;
    created_at: Date;
    updated_at: Date;
  };
  invitations: {
    account_id: string;
    id: string;
    member_id: string;
    digest: Buffer;
    created_at: Date;
    expires_at: Date;
    used_at: Date | null;
    /** When an owner agreed to it, where one must, and who. */
    consented_at: Date | null;
    /** Their user id. */
    consented_by: string | null;
  };
  /** A role that the operator asks for and that does not count yet. */
  member_upgrades: {
    account_id: string;
    id: string;
    member_id: string;
    role: "owner" | "approver";
    asked_at: Date;
    /** Absent: an owner consents first. */
    effective_at: Date | null;
    /** When the members were last mailed of it. */
    mailed_at: Date;
    ended_at: Date | null;
    outcome: UpgradeOutcome | null;
  };
  /** A change that takes effect once a second person agrees to it. */
  pending_changes: {
    account_id: string;
    id: string;
    action: "member" | "policy";
    /** Kind and id of what is changed: at most one open change of it. */
    subject: string;
    terms: ColumnType<ChangeTerms, string, never>;
    request: ColumnType<PendingRequest, string, never>;
    /** User ids. */
    asked_by: string;
    asked_at: Date;
    expires_at: Date;
    ended_at: Date | null;
    ended_by: string | null;
    outcome: PendingOutcome | null;
  };
  tokens: {
    account_id: string;
    id: string;
    name: string;
    digest: Buffer;
    preview: string;
    scopes: string[];
    /** The token that minted this one: revoking that revokes this. */
    minted_by: string | null;
    /** The first of those who minted one another, whose allowance it uses. Absent: its own. */
    root_id: string | null;
    /** The person who minted it on a page, by their user id. Neither: the operator, or the service itself. */
    minted_by_user: string | null;
    /**
     * Who made its root: the operator, a person, an agent that registered itself, or a member who requests approvals on
     * pages. Minted tokens have their root's.
     */
    maker_kind: Generated<TokenMakerKind>;
    /** The person's name, as it was then. */
    maker_name: Generated<string | null>;
    /** The operator or a member requests approvals under it. No one has its secret, and no list shows it. */
    secretless: Generated<boolean>;
    created_at: Date;
    last_used_at: Date | null;
    expires_at: Date | null;
    revoked_at: Date | null;
  };
  /** A line of the next mail to the owners about what tokens did to keys and webhooks. */
  token_acts: {
    account_id: string;
    id: string;
    line: string;
    created_at: Date;
  };
  /** An account that an agent made for itself: who came, and what became of it (docs/contract.md §6). */
  agent_registrations: {
    account_id: string;
    /** What the agent holds until a human has claimed the account. */
    token_id: string;
    agent_name: string | null;
    address: string;
    user_agent: string;
    /** Of the claim token. */
    claim_digest: Buffer;
    /** How far apart its polls must be, and when the last one was. */
    poll_interval: number;
    polled_at: Date | null;
    created_at: Date;
    /** When the window to claim it ends. */
    expires_at: Date;
    claimed_at: Date | null;
    /** What the human who claimed it lets the agent do; nothing: it was refused before the agent had its token. */
    scopes: string[] | null;
    /** When the agent was given its token. */
    delivered_at: Date | null;
  };
  /** The last claim attempt of a registration; a new one replaces it. */
  claim_attempts: {
    account_id: string;
    email: string;
    /** Of what the agent shows its human: an address, and a code. */
    page_digest: Buffer;
    /** Over the code and the mailed secret, so that neither can be guessed from it alone. */
    code_digest: Buffer;
    /** Of the secret that was mailed to the human alone. */
    link_digest: Buffer;
    wrong_codes: number;
    created_at: Date;
    expires_at: Date;
  };
  /** What a call with an `Idempotency-Key` was answered, for its repeats (docs/contract.md §0). */
  idempotency_keys: {
    account_id: string;
    token_id: string;
    key: string;
    request_digest: Buffer;
    /** Identifies the attempt that holds the key; taking over a stuck key draws another. */
    attempt: string;
    claimed_at: Date;
    /** Null while it is worked on. */
    answer: Json<Record<string, unknown>> | null;
  };
  payment_methods: {
    account_id: string;
    id: string;
    brand: string;
    last4: string;
    exp_month: number;
    exp_year: number;
    is_default: boolean;
    processor: Generated<ProcessorName>;
    created_at: Date;
    removed_at: Date | null;
    /** When it was detached at the processor; null once it is removed: a sweep does it. */
    detached_at: Generated<Date | null>;
  };
  contracts: {
    account_id: string;
    id: string;
    title: string;
    job_id: string;
    proposal_id: string | null;
    payment_type: PaymentType;
    rate_cents: number | null;
    status: ContractStatus;
    freelancer_user_id: string;
    freelancer_name: string;
    freelancer_country: string | null;
    freelancer_profile_path: string | null;
    payout_account: string | null;
    /** Goes up whenever something changes that a human signs: job or payee. */
    revision: number;
    created_at: Date;
    updated_at: Date;
    ended_at: Date | null;
  };
  milestones: {
    account_id: string;
    id: string;
    contract_id: string;
    number: number;
    name: string | null;
    description: string;
    amount_cents: number;
    currency: string;
    volume: number | null;
    due_at: Date | null;
    status: MilestoneStatus;
    invoice_id: string | null;
    /** Goes up whenever something changes that a human signs: amount, currency, description or contract. */
    revision: number;
    created_at: Date;
    updated_at: Date;
  };
  /** A milestone whose money is moving: at most one action at a time, of any type (invariant 1). */
  executing_milestones: {
    account_id: string;
    milestone_id: string;
    approval_id: string;
    started_at: Date;
  };
  approvals: {
    account_id: string;
    id: string;
    type: ApprovalType;
    status: ApprovalStatus;
    contract_id: string;
    milestone_id: string | null;
    /** The milestone, or the contract where there is none: what there is at most one pending approval for. */
    subject_id: ColumnType<string, never, never>;
    job_id: string;
    terms: Json<Terms>;
    terms_digest: Buffer;
    co_sign: CoSign;
    /** The account's limit as it stood at the request; null: none. */
    second_signer_from_cents: number | null;
    token_id: string;
    token_name: string;
    token_preview: string;
    /** The first of those who minted one another, or the token itself: its pending approvals are counted together. */
    root_token_id: string;
    /** Who stands behind that token; null: not known. */
    asker: Json<Asker> | null;
    /** What the contract and the milestone were called at the request, for receipts; not part of what is signed. */
    contract_title: Generated<string | null>;
    milestone_name: Generated<string | null>;
    /** Since when its payment is under way; such an approval does not expire. */
    executing_at: Date | null;
    /** When the sweep that mails should look at it next. */
    notify_at: Date | null;
    /** When the operator's feed said that it was asked for. */
    announced_at: Generated<Date | null>;
    result: Json<Record<string, unknown>> | null;
    created_at: Date;
    expires_at: Date;
    resolved_at: Date | null;
  };
  /** What a person's passkey was asked last to sign for an approval; gone once it has signed. */
  co_sign_challenges: {
    account_id: string;
    approval_id: string;
    user_id: string;
    session_id: string;
    /** Of the statement that the page showed: the challenge itself. */
    digest: Buffer;
    issued_at: Date;
    expires_at: Date;
  };
  signatures: {
    account_id: string;
    approval_id: string;
    statement_digest: Buffer;
    user_id: string;
    decision: "confirm" | "decline";
    statement: Json<Statement<ApprovalType>>;
    proof: Json<Proof>;
    created_at: Date;
    /** How many people had to sign for money to move, when this was signed. */
    signers_required: Generated<1 | 2>;
  };
  /** The signatures that a payment attempt is made for. */
  payment_signatures: {
    account_id: string;
    payment_id: string;
    milestone_id: string;
    approval_id: string;
    statement_digest: Buffer;
    user_id: string;
  };
  events: {
    account_id: string;
    number: number;
    type: string;
    resource_id: string;
    job_id: string | null;
    data: Json<Record<string, unknown>>;
    created_at: Date;
  };
  /** A receiver of the account's events: a queue of deliveries that one process at a time works on. */
  webhooks: {
    account_id: string;
    id: string;
    url: string;
    /** The receiver: where `url` leads. At most one webhook of a receiver is leased at a time. */
    origin: string;
    event_types: string[];
    status: WebhookStatus;
    /** Who made it: a token, or a member by hand; and under what name. */
    token_id: string | null;
    /** Of a token that made it: the first of those who minted one another. Its family may change the webhook. */
    root_id: string | null;
    user_id: string | null;
    maker_name: string;
    /** Encrypted, as is the next; null once it is deleted. */
    secret: Buffer | null;
    secret_key_id: string | null;
    /** The one before the last rotation; signs too until then. */
    old_secret: Buffer | null;
    old_secret_key_id: string | null;
    old_secret_until: Date | null;
    /** Deliveries that failed since the last success. */
    failures: Generated<number>;
    /** Since when it takes so long to answer that it is served in the slow lane. */
    slow_since: Date | null;
    /** When the dispatcher should look at it next; null: nothing is waiting. */
    due_at: Date | null;
    /** Which process sends to it, and until when. */
    lease: string | null;
    leased_until: Date | null;
    disabled_at: Date | null;
    disabled_reason: string | null;
    created_at: Date;
  };
  /** One event for one webhook. Its body is what is sent on every attempt, byte for byte. */
  webhook_deliveries: {
    account_id: string;
    id: string;
    webhook_id: string;
    event_number: number;
    event_type: string;
    body: string;
    status: DeliveryStatus;
    /** Attempts that came to an end. */
    attempts: Generated<number>;
    due_at: Date | null;
    attempted_at: Date | null;
    answer_status: number | null;
    answer_error: string | null;
    created_at: Date;
    resolved_at: Date | null;
  };
  /** Events that the operator's feed has not taken over yet, in an order that keeps each account's. */
  operator_outbox: {
    account_id: string;
    number: number;
    position: ColumnType<number, never, never>;
  };
  /** The events of all accounts, under numbers of their own. `account` is the operator's id for it. */
  operator_events: {
    number: number;
    account: string;
    type: string;
    resource_id: string;
    job_id: string | null;
    data: Json<Record<string, unknown>>;
    created_at: Date;
  };
  /** One row, locked by the process that appends to the operator's feed. */
  operator_head: {
    id: Generated<true>;
    first_event: number;
    last_event: number;
    /** As in `account_heads`, and how many there were. */
    run: Generated<string>;
    runs: Generated<number>;
  };
  /** One row at most: where the operator's feed is sent, and how far. */
  operator_webhook: {
    id: Generated<true>;
    url: string;
    /** Encrypted, as is the next. */
    secret: Buffer;
    secret_key_id: string;
    /** The one before the last rotation; signs too until then. */
    old_secret: Buffer | null;
    old_secret_key_id: string | null;
    old_secret_until: Date | null;
    /** The number of the last event of the operator's feed that has arrived. */
    cursor: number;
    /** How often the next one was tried. */
    attempts: Generated<number>;
    due_at: Date;
    attempted_at: Date | null;
    answer_status: number | null;
    answer_error: string | null;
    /** Which process sends, and until when. */
    lease: string | null;
    leased_until: Date | null;
    created_at: Date;
  };
  /** Hits per bucket and minute, shared by the processes about once a second. Unlogged: a crash forgives. */
  rate_windows: {
    bucket: string;
    window_start: Date;
    hits: number;
  };
  /** Digests of the credentials that were accepted within the last hour, shared by the processes. Unlogged, too. */
  known_credentials: {
    digest: Buffer;
    accepted_at: Date;
  };
  /** One row: which processor this database's cards and payments are of, and what it is known by there. */
  processor: {
    id: string;
    singleton: Generated<true>;
    name: ProcessorName;
    /** Since when every decision has a receipt. */
    receipts_since: Generated<Date>;
  };
  /** An account's customer at the processor. */
  processor_customers: {
    account_id: string;
    customer_id: string;
    created_at: Date;
  };
  /** What the processor told of its own accord, each event once. */
  processor_events: {
    id: string;
    type: string;
    intent_id: string | null;
    setup_id: string | null;
    session_id: string | null;
    /** A payout or a refund that it tells of. */
    sent_kind: "payout" | "refund" | null;
    sent_id: string | null;
    /** Where to look first. */
    account_id: string | null;
    received_at: Date;
    attempts: Generated<number>;
    /** When it is due next; null once it is handled. */
    due_at: Date | null;
    handled_at: Date | null;
  };
  /** One row: in which run of the server the processor was searched last, and until when nothing is lost. */
  processor_search: {
    id: Generated<true>;
    run: Generated<string>;
    seen_at: Generated<Date>;
  };
  /** An intent of the processor's that names a milestone, and that no payment has. */
  lost_intents: {
    account_id: string;
    intent_id: string;
    milestone_id: string;
    found_at: Date;
    /** When the operator was alerted that it was paid; null: not checked yet. */
    told_at: Date | null;
  };
  /** One attempt to do what a human confirmed, for one milestone (docs/design.md, Paying). */
  payments: {
    account_id: string;
    id: string;
    kind: PaymentKind;
    approval_id: string;
    milestone_id: string;
    /** Of a charge. */
    card_id: string | null;
    /** Of a payout or a refund: the charge that brought the money; null: credits did. */
    source_payment_id: string | null;
    amount_cents: number;
    currency: string;
    /** The milestone's attempts, and the keys that the processor had already, before this one. */
    key_number: number;
    /** What is sent to the processor, in its words. */
    body: Json<Record<string, unknown>>;
    status: PaymentStatus;
    processor: Generated<ProcessorName>;
    /** Of a charge: the processor's intent, once it is known. */
    intent_id: string | null;
    /** Of a payout or a refund: the processor's id of it, once it was sent. */
    sent_id: string | null;
    /** When something was first sent under the present key: the processor keeps keys for a day. */
    key_used_at: Date | null;
    /** When the feed said that it waits. */
    pending_at: Generated<Date | null>;
    /** Where the human authenticates, while that is awaited. */
    action_url: string | null;
    refusal_code: string | null;
    refusal_message: string | null;
    /** Who may call the processor for it, and until when. */
    lease: string | null;
    leased_until: Date | null;
    /** When it is due next; null once it is decided. */
    due_at: Date | null;
    /** When the operator was first alerted that its outcome is unknown, and when last. */
    alerted_at: Date | null;
    alerted_last_at: Generated<Date | null>;
    created_at: Date;
    updated_at: Date;
    resolved_at: Date | null;
  };
  /** One row: whether the operator has paused all payments. */
  payment_pause: {
    one_row: Generated<boolean>;
    paused: boolean;
    changed_at: Date | null;
  };
  /** A refund or dispute that began on the processor's side. */
  reversals: {
    account_id: string;
    id: string;
    /** The payment, or the top-up, that it takes from. */
    payment_id: string | null;
    top_up_id: string | null;
    kind: "refund" | "dispute" | "failed_refund" | "returned_payout";
    status: string;
    amount_cents: number;
    currency: string;
    /** What the ledger says that it has taken. */
    taken_cents: number;
    final: boolean;
    /** When the processor was asked: an older answer does not undo a newer one. */
    observed_at: Date;
    created_at: Date;
    updated_at: Date;
  };
  invoices: {
    account_id: string;
    id: string;
    /** 1, 2, 3 … in the account. */
    number: number;
    kind: "FUNDING" | "PAYOUT";
    approval_id: string;
    /** The attempt that pays it; null: credits do. */
    payment_id: string | null;
    contract_id: string;
    milestone_id: string;
    amount_cents: number;
    currency: string;
    /** Open from the confirmation on; void once the attempt was refused. */
    status: "open" | "paid" | "refunded" | "void";
    created_at: Date;
  };
  /** Where each milestone's money went when its contract ended. Append-only. */
  refunds: {
    account_id: string;
    approval_id: string;
    milestone_id: string;
    sent_to: "card" | "credits";
    /** The processor's refund, or the credit entry. */
    refund_id: string;
    amount_cents: number;
    created_at: Date;
  };
  /** Double entry: the lines of a movement sum to zero. Append-only. */
  ledger_entries: {
    account_id: string;
    transaction_id: string;
    line: number;
    ledger_account: string;
    amount_cents: number;
    currency: string;
    /** The payment or the credit entry that it is booked for, or both. */
    payment_id: string | null;
    credit_entry_id: string | null;
    created_at: Date;
  };
  /** What moved an account's credits. Append-only; a trigger adds each entry to the balances. */
  credit_entries: {
    account_id: string;
    id: string;
    /** 1, 2, 3 … in the account. */
    number: number;
    type: CreditEntryType;
    /** On the available balance, signed. */
    amount_cents: number;
    /** On the reserved balance, signed. */
    reserved_cents: number;
    closed_cents: ColumnType<number, never, never>;
    /** The hold that this entry ends. */
    hold_entry_id: string | null;
    approval_id: string | null;
    job_id: string | null;
    contract_id: string | null;
    milestone_id: string | null;
    top_up_id: string | null;
    note: string | null;
    created_at: Date;
  };
  /** What an account's entries sum up to. Written by the trigger on `credit_entries` alone. */
  credit_balances: {
    account_id: string;
    available_cents: Generated<number>;
    reserved_cents: Generated<number>;
    last_entry: Generated<number>;
  };
  /** The signatures that a hold, or its release, was written for. Append-only. */
  credit_signatures: {
    account_id: string;
    entry_id: string;
    approval_id: string;
    statement_digest: Buffer;
    user_id: string;
  };
  top_ups: {
    account_id: string;
    id: string;
    amount_cents: number;
    currency: string;
    status: TopUpStatus;
    asked_by: Json<TopUpAsker>;
    processor: ProcessorName;
    /** The number of the key that its Checkout Session is created under. */
    session_number: Generated<number>;
    session_id: string | null;
    /** Where it is paid, while it is open. */
    session_url: string | null;
    /** What paid it. */
    intent_id: string | null;
    /** When the sweep looks at it next; null once it is decided. */
    due_at: Date | null;
    created_at: Date;
    expires_at: Date;
    completed_at: Date | null;
  };
  /** What a decision came to, linked into the account's chain. Append-only. */
  receipts: {
    account_id: string;
    chain_index: number;
    approval_id: string;
    /** Null: it is the first. */
    previous_index: number | null;
    previous_digest: Buffer;
    /** Over `body`, which is in its RFC 8785 form. */
    digest: Buffer;
    body: string;
    created_at: Date;
  };
  /** The sandbox processor's own books, which the service reads through the processor's interface alone. */
  "sandbox.payment_methods": {
    id: string;
    account_id: string;
    test_method: string;
    brand: string;
    last4: string;
    exp_month: number;
    exp_year: number;
    detached_at: Date | null;
  };
  "sandbox.intents": {
    id: string;
    account_id: string;
    idempotency_key: string;
    payment_method: string;
    amount_cents: number;
    currency: string;
    status: SandboxIntentStatus;
    decline_code: string | null;
    metadata: Json<Record<string, string>>;
    created_at: Date;
  };
  "sandbox.charges": {
    id: string;
    intent_id: string;
    account_id: string;
    idempotency_key: string;
    amount_cents: number;
    currency: string;
    status: "succeeded" | "failed";
    metadata: Json<Record<string, string>>;
    created_at: Date;
  };
  "sandbox.checkout_sessions": {
    id: string;
    account_id: string;
    idempotency_key: string;
    amount_cents: number;
    currency: string;
    status: "open" | "complete" | "expired";
    /** What paid it. */
    intent_id: string | null;
    metadata: Json<Record<string, string>>;
    return_url: string;
    created_at: Date;
  };
  /** What the sandbox has paid out, in its own books. */
  "sandbox.transfers": {
    id: string;
    account_id: string;
    idempotency_key: string;
    destination: string;
    /** The intent whose money it is, where a card brought it. */
    source_intent: string | null;
    amount_cents: number;
    currency: string;
    status: "pending" | "paid" | "failed";
    failure_code: string | null;
    reversed_cents: Generated<number>;
    metadata: Json<Record<string, string>>;
    created_at: Date;
  };
  /** What the sandbox has paid back, in its own books. */
  "sandbox.refunds": {
    id: string;
    account_id: string;
    idempotency_key: string;
    intent_id: string;
    amount_cents: number;
    currency: string;
    status: "pending" | "succeeded" | "failed";
    failure_code: string | null;
    metadata: Json<Record<string, string>>;
    created_at: Date;
  };
  /** What is to be sent, and what was. The body goes once it is sent: it may hold a link that is a secret. */
  mails: {
    id: string;
    recipient: string;
    subject: string;
    body: string | null;
    /** About security or money: goes before all other. */
    urgent: boolean;
    created_at: Date;
    due_at: Date;
    /** After this it is useless and no longer sent. */
    give_up_at: Date;
    attempts: Generated<number>;
    leased_until: Date | null;
    sent_at: Date | null;
    failed_at: Date | null;
  };
  /** People who sign in. */
  "auth.users": {
    id: string;
    name: string;
    email: string;
    created_at: Generated<Date>;
    /**
     * Since when their password alone does not vouch for them: a link has set it, or a passkey was removed with no more
     * than it. Null again once they change it in a session in which a passkey was used.
     */
    password_unverified_since: Date | null;
    /** When they last signed in; a trigger writes it. */
    signed_in_at: Generated<Date | null>;
  };
  "auth.sessions": {
    id: string;
    /** SHA-256 of the token that the cookie holds. */
    token_digest: Buffer;
    /** Of the token before it; null until the first one was replaced. */
    previous_digest: Buffer | null;
    replaced_at: Date | null;
    user_id: string;
    address: string | null;
    user_agent: string | null;
    /** The time zone that the browser named when it signed in. */
    zone: Generated<string | null>;
    started_at: Date;
    seen_at: Date;
    /** When the person last proved that it is them. */
    proved_at: Date;
    /** Whether a passkey that counts was used in it. */
    trusted: Generated<boolean>;
  };
  "auth.passwords": {
    user_id: string;
    /** Argon2id, as a PHC string. */
    hash: string;
    changed_at: Date;
  };
  /** What a person signs in with and co-signs by (WebAuthn). */
  "auth.passkeys": {
    id: string;
    user_id: string;
    name: string;
    credential_id: Buffer;
    /** As a COSE key. */
    public_key: Buffer;
    /** Of the authenticator's; many synced passkeys keep theirs at 0, and some repeat or lower it. */
    counter: number;
    transports: Generated<string[]>;
    device_type: "singleDevice" | "multiDevice";
    backed_up: boolean;
    /** Which kind of authenticator it says that it is. */
    aaguid: string | null;
    created_at: Date;
    last_used_at: Date | null;
    /** From when on it counts for more than a password; null: it waits for owners to consent. */
    active_from: Date | null;
    /** When its counter last stood still or went back, though it counts: it may have been copied. */
    possible_copy_at: Generated<Date | null>;
  };
  /** An owner's consent to a passkey that was added in a session which a mailed link opened. */
  "auth.passkey_consents": {
    account_id: string;
    passkey_id: string;
    consented_by: string;
    consented_at: Date;
  };
  /** Challenges that a passkey has answered, so that none is answered twice; kept until they expire. */
  "auth.answered_challenges": {
    /** SHA-256. */
    digest: Buffer;
    expires_at: Date;
  };
  "auth.resets": {
    id: string;
    email: string;
    requested_at: Date;
    /** Null until a sweep has looked the e-mail up, and for ever if no one signs in with it. */
    user_id: string | null;
    digest: Buffer | null;
    expires_at: Date | null;
    used_at: Date | null;
    /** Where it was asked for. */
    address: string | null;
    request_id: string | null;
  };
  /** Append-only. `account_id` is the nil UUID for what belongs to no account. */
  audit_entries: {
    account_id: string;
    id: string;
    at: Date;
    action: string;
    actor_kind: "person" | "token" | "operator" | "service";
    /** A user id, a token id, or the fingerprint of an operator's key. */
    actor_id: string | null;
    /** As it was then. */
    actor_name: string | null;
    /** Of a token: the one that it descends from. */
    actor_root: string | null;
    subject_kind: string | null;
    subject_id: string | null;
    before: Json<Record<string, unknown>> | null;
    after: Json<Record<string, unknown>> | null;
    detail: Json<Record<string, unknown>>;
    address: string | null;
    request_id: string | null;
  };
  /** When each sweep last ran, in whichever process. */
  sweeps: {
    job: string;
    /** When a process last reported it. */
    seen_at: Date;
    succeeded_at: Date | null;
    /** How many milliseconds the last run that succeeded took. */
    took_ms: number | null;
    failed_at: Date | null;
    /** Runs that failed since the last success. */
    failures: Generated<number>;
    /** What the last failure said. */
    error: string | null;
  };
  /** Rows that readiness writes, to see that the database takes writes. */
  write_probes: {
    slot: number;
    written_at: Date;
  };
};

/** Written as JSON text: pg would send a JavaScript array as a Postgres array. */
type Json<T> = ColumnType<T, string, string>;

export type Billing = "card" | "credits_first";
export type CoSign = "session" | "passkey";

export type MemberRole = "owner" | "approver" | "viewer";
export type MemberStatus = "invited" | "active" | "removed";

export type UpgradeOutcome =
  | "consented"
  | "refused"
  | "objected"
  | "owner_signed_in"
  | "effective"
  | "withdrawn";

/** What is needed to carry a pending change out. */
export type PendingRequest =
  | { kind: "invite"; email: string; name: string; role: MemberRole }
  | { kind: "role"; memberId: string; role: MemberRole; shown: string }
  | { kind: "upgrade"; upgradeId: string }
  | { kind: "consent"; invitationId: string; role: MemberRole }
  | { kind: "policy" };
export type PendingOutcome = "agreed" | "refused" | "withdrawn" | "replaced";

export type TokenMakerKind = "operator" | "person" | "agent" | "member";

export type PaymentType = "FIXED_PRICE" | "PAY_PER_HOUR" | "PAY_PER_LABEL";
export type ContractStatus = "active" | "ended";

export type MilestoneStatus = "NOT_FUNDED" | "ACTIVE_FUNDED" | "PAID" | "REFUNDED" | "CANCELLED";

export type ApprovalStatus = "pending" | "confirmed" | "declined" | "expired";

/** What the human confirms, as it stood at the request (docs/contract.md §1). */
export type Terms = ApprovalTerms;

/** The person behind a token, as pages and mails show it: who created its root, and whether an agent chose its name. */
export type Asker = {
  kind: TokenMakerKind;
  /** The person's, as it was when they made the root; null for the others. */
  name: string | null;
  namedItself: boolean;
};

/** What shows that a person was there when they signed (docs/contract.md §1). Times are ISO 8601. */
export type Proof = { kind: "password" | "session"; provedAt: string } | PasskeyProof;

/** A passkey's assertion whole, so that it can be checked for ever. All bytes are base64url. */
export type PasskeyProof = {
  kind: "passkey";
  provedAt: string;
  credentialId: string;
  /** As a COSE key. */
  publicKey: string;
  authenticatorData: string;
  /** Its challenge is the statement's digest. */
  clientDataJSON: string;
  signature: string;
  rpId: string;
  origin: string;
};

export type PaymentStatus = "created" | "submitted" | "action_required" | "unknown" | "succeeded" | "refused";

export type ProcessorName = "sandbox" | "stripe_test" | "stripe_live";

/** What an attempt moves: a card's money in, a milestone's money out to its payee, or back to its card. */
export type PaymentKind = "charge" | "payout" | "refund";

export type CreditEntryType = "TOP_UP" | "HOLD" | "HOLD_RELEASE" | "CAPTURE" | "REFUND" | "ADJUSTMENT";

export type TopUpStatus = "PENDING" | "COMPLETED" | "EXPIRED";

/** Who asked for a top-up: a token, by its name then, or a member; `lost`: the database has lost who. */
export type TopUpAsker =
  | { kind: "lost" }
  | { kind: "token"; tokenId: string; name: string; preview: string }
  | { kind: "person"; userId: string; name: string };

export type WebhookStatus = "ACTIVE" | "DISABLED" | "DELETED";

export type DeliveryStatus = "PENDING" | "DELIVERED" | "FAILED";

export type SandboxIntentStatus =
  | "requires_confirmation"
  | "requires_action"
  | "requires_payment_method"
  | "succeeded"
  | "canceled";
