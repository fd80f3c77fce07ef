import type { AccountRow, AccountValues } from "../accounts/service.ts";
import type { ContractValues, MilestoneValues } from "../contracts/service.ts";
import type { PaymentType } from "../database/schema.ts";
import { centsOf, nameOf, textOf, timeOf } from "../lib/fields.ts";
import { MIN_AMOUNT_CENTS } from "../lib/money.ts";
import { badField, Problem } from "../lib/problems.ts";
import type { AccountBody, ContractBody, MilestoneBody } from "./schemas.ts";

/**
 * What a PUT makes of an account: the named keys are set, absent ones stay (docs/contract.md §8).
 * @throws Problem bad_request {field}, co_sign_loosening, second_signer_loosening
 */
export function mergeAccount(body: AccountBody, present: AccountRow | undefined, now: Date): AccountValues {
  if (body.claimed === false && present?.claimed_at) {
    throw badField("claimed", "An account that was claimed cannot be unclaimed.");
  }
  if (body.coSign === "session" && present?.co_sign === "passkey") throw new Problem("co_sign_loosening");
  return {
    name: named("name", body.name) ?? present?.name ?? missing("name"),
    claimedAt: present?.claimed_at ?? (body.claimed === true ? now : null),
    features: { ...present?.features, ...body.features },
    billing: body.billing ?? present?.billing ?? "card",
    coSign: body.coSign ?? present?.co_sign ?? "session",
    secondSignerFromCents: mergeSecondSigner(
      body.secondSignerFromUsd,
      present?.second_signer_from_cents ?? null,
    ),
    frozen: body.frozen ?? present?.frozen ?? false,
  };
}

/**
 * The operator sets or lowers the amount; no one but the owners may raise or remove it.
 * @param present in cents
 * @returns cents; null: a second person never signs
 * @throws Problem bad_request {field}, second_signer_loosening
 */
function mergeSecondSigner(given: number | null | undefined, present: number | null): number | null {
  if (given === undefined) return present;
  const cents = unlessNull(given, (dollars) => centsOf("secondSignerFromUsd", dollars, MIN_AMOUNT_CENTS));
  if (present !== null && (cents === null || cents > present)) throw new Problem("second_signer_loosening");
  return cents;
}

/**
 * What a PUT makes of a contract: the named keys are set. `freelancer` is set whole, so that a payee who is named
 * without a payout account has none, and never the one of the payee before (docs/contract.md §8).
 * @throws Problem bad_request {field}
 */
export function mergeContract(body: ContractBody, present: ContractValues | undefined): ContractValues {
  const { freelancer } = body;
  return {
    title: named("title", body.title) ?? present?.title ?? missing("title"),
    jobId: body.jobId ?? present?.jobId ?? missing("jobId"),
    proposalId: keep(body.proposalId, present?.proposalId),
    paymentType:
      (body.paymentType as PaymentType | undefined) ?? present?.paymentType ?? missing("paymentType"),
    rateCents:
      body.rateUsd === undefined
        ? (present?.rateCents ?? null)
        : unlessNull(body.rateUsd, (dollars) => centsOf("rateUsd", dollars, 1)),
    status: (body.status as ContractValues["status"] | undefined) ?? present?.status ?? "active",
    freelancer:
      freelancer === undefined
        ? (present?.freelancer ?? missing("freelancer"))
        : {
            userId: freelancer.userId,
            displayName: named("freelancer.displayName", freelancer.displayName),
            country: freelancer.country ?? null,
            profilePath: freelancer.profilePath ?? null,
            payoutAccount: freelancer.payoutAccount ?? null,
          },
  };
}

/**
 * What a PUT makes of a milestone.
 * @throws Problem bad_request {field}
 */
export function mergeMilestone(body: MilestoneBody, present: MilestoneValues | undefined): MilestoneValues {
  const amountCents =
    body.amountUsd === undefined
      ? present?.amountCents
      : centsOf("amountUsd", body.amountUsd, MIN_AMOUNT_CENTS);
  return {
    contractId: body.contractId ?? present?.contractId ?? missing("contractId"),
    name: keep(named("name", body.name), present?.name),
    description:
      body.description === undefined
        ? (present?.description ?? missing("description"))
        : textOf("description", body.description),
    amountCents: amountCents ?? missing("amountUsd"),
    volume: keep(body.volume, present?.volume),
    dueAt:
      body.dueDate === undefined
        ? (present?.dueAt ?? null)
        : unlessNull(body.dueDate, (text) => timeOf("dueDate", text)),
  };
}

/** What is named must be seen; what is absent, or none, is none's business. */
function named<T extends string | null | undefined>(field: string, given: T): T {
  if (typeof given === "string") nameOf(field, given);
  return given;
}

function keep<T>(given: T | null | undefined, present: T | null | undefined): T | null {
  return given === undefined ? (present ?? null) : given;
}

function missing(field: string): never {
  throw badField(field, `\`${field}\` is required.`);
}

function unlessNull<T, R>(value: T | null, read: (value: T) => R): R | null {
  return value === null ? null : read(value);
}
