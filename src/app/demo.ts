import { randomBytes } from "node:crypto";
import { inviteMember } from "../accounts/invitation-service.ts";
import { listMembers } from "../accounts/member-service.ts";
import { replaceToken } from "../accounts/token-service.ts";
import { BY_SERVICE } from "../audit/service.ts";
import { addPaymentMethod, type BillingDeps, listPaymentMethods } from "../billing/service.ts";
import { listContracts } from "../contracts/service.ts";
import type { Db } from "../database/connection.ts";
import { accountKey } from "../lib/ids.ts";
import { NO_ORIGIN } from "../lib/origin.ts";
import { SCOPES } from "../lib/scopes.ts";
import { type OperatorDeps, putAccount } from "../operator/account-service.ts";
import { putContract, putMilestone } from "../operator/service.ts";
import { hashPassword, setPassword } from "../sign-in/service.ts";
import { joinWithPassword } from "../team/invitation-service.ts";

const ACCOUNT = "demo";
const CONTRACT = "demo-contract";
const TOKEN_NAME = "Demo agent";
const PASSWORD_BYTES = 12;
const OWNER = { email: "demo@example.com", name: "Demo Owner", role: "owner" as const };

const CONTRACT_VALUES = {
  title: "Street scenes",
  jobId: "demo-job",
  paymentType: "FIXED_PRICE",
  freelancer: {
    userId: "demo-freelancer",
    displayName: "Maria G.",
    country: "Spain",
    profilePath: "/profile/maria-g",
    payoutAccount: "acct_demo",
  },
};
const FIRST_MILESTONE = "demo-milestone-1";
const MILESTONES = [
  {
    id: FIRST_MILESTONE,
    name: "First batch",
    description: "Label 5,000 street scenes with bounding boxes",
    amountUsd: 450,
  },
  {
    id: "demo-milestone-2",
    name: "Review",
    description: "Second look at every tenth scene",
    amountUsd: 120.5,
  },
  {
    id: "demo-milestone-3",
    name: "Second batch",
    description: "Label 20,000 street scenes with bounding boxes",
    amountUsd: 1800,
  },
];

export type Demo = {
  /** Good until the next start. */
  token: string;
  /** Who signs in as the account's owner; the password is good until the next start. */
  email: string;
  password: string;
  /** One that can be funded. */
  milestoneId: string;
};

type DemoDeps = BillingDeps & OperatorDeps;

/**
 * Puts the demo account into its first state, through the services that the operator's API calls; revokes the last demo
 * token and mints a new one; gives the owner a new password. Only for the embedded database on loopback (docs/contract.md §8).
 */
export async function prepareDemo(deps: DemoDeps): Promise<Demo> {
  const { db } = deps;
  const account = { accountId: accountKey(ACCOUNT), organizationId: ACCOUNT };
  const features = { public_api_payments_write: true, public_api_webhooks: true, public_api_credits: true };
  await putAccount(deps, ACCOUNT, { name: "Demo Labs", claimed: true, features }, BY_SERVICE);
  if ((await listPaymentMethods(db, account.accountId)).length === 0) {
    await addPaymentMethod(deps, account.accountId, "pm_card_visa", BY_SERVICE);
  }
  const milestoneId = await prepareMilestones(deps, account);
  const { token } = await replaceToken(db, account, { name: TOKEN_NAME, scopes: SCOPES, expiresAt: null });
  const password = await prepareOwner(db, account.accountId);
  return { token, milestoneId, email: OWNER.email, password };
}

/** Makes the owner, once, as an invitation that was accepted does; gives them a new password. */
async function prepareOwner(db: Db, accountId: string): Promise<string> {
  const password = randomBytes(PASSWORD_BYTES).toString("base64url");
  const members = await listMembers(db, accountId);
  const userId = members.find(({ email }) => email === OWNER.email)?.userId ?? null;
  if (userId !== null) await setPassword(db, userId, password);
  else {
    const { secret } = await inviteMember(db, accountId, OWNER, BY_SERVICE);
    await joinWithPassword(db, secret, await hashPassword(password), NO_ORIGIN);
  }
  return password;
}

/**
 * Gives each account that an agent registered and a person has claimed a contract to try, as the operator would. A
 * sweep: an account that has one is left alone.
 */
export async function giveDemoContracts(deps: DemoDeps): Promise<void> {
  const claimed = await deps.db
    .selectFrom("accounts as a")
    .innerJoin("agent_registrations as r", "r.account_id", "a.account_id")
    .where("a.claimed_at", "is not", null)
    .where(({ not, exists, selectFrom }) =>
      not(exists(selectFrom("contracts as c").select("c.id").whereRef("c.account_id", "=", "a.account_id"))),
    )
    .select(["a.account_id as accountId", "a.id as organizationId"])
    .distinct()
    .execute();
  for (const account of claimed) await createContract(deps, account);
}

/** @returns a milestone of it that can be funded */
async function createContract(
  deps: DemoDeps,
  account: { accountId: string; organizationId: string },
): Promise<string> {
  await putContract(deps, account, CONTRACT, CONTRACT_VALUES, BY_SERVICE);
  for (const { id, ...body } of MILESTONES)
    await putMilestone(deps, account, id, { ...body, contractId: CONTRACT }, BY_SERVICE);
  return FIRST_MILESTONE;
}

async function prepareMilestones(
  deps: DemoDeps,
  account: { accountId: string; organizationId: string },
): Promise<string> {
  const contracts = await listContracts(deps.db, account.accountId, {});
  const contract = contracts.find((candidate) => candidate.id === CONTRACT);
  if (contract === undefined) return createContract(deps, account);
  const fundable = contract.milestones.find((milestone) => milestone.status === "NOT_FUNDED");
  if (fundable !== undefined) return fundable.id;
  const id = `demo-milestone-${Date.now()}`;
  const body = {
    contractId: CONTRACT,
    description: "One more batch of street scenes",
    amountUsd: 300,
  };
  await putMilestone(deps, account, id, body, BY_SERVICE);
  return id;
}
