import { TOKEN_PREFIX } from "../src/accounts/gate.ts";
import { readSecret } from "../src/lib/secrets.ts";
import { type Account, MILESTONES, milestoneId } from "./data.ts";

type Operator = { port: number; key: string };

/**
 * Creates accounts that can fund by the operator's API, so that it works with any version, whatever its tables are:
 * each with a card, a token, a contract and its milestones, named as `createAccounts` names them.
 * @param first number of the first account
 * @param atOnce accounts that are created at the same time
 */
export async function createAccountsByApi(
  operator: Operator,
  first: number,
  count: number,
  atOnce: number,
): Promise<Account[]> {
  const numbers = Array.from({ length: count }, (_, i) => first + i);
  const created: Account[] = [];
  const queue = numbers.values();
  const worker = async () => {
    for (const number of queue) created.push(await createAccount(operator, number));
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return created.sort((a, b) => a.number - b.number);
}

async function createAccount(operator: Operator, number: number): Promise<Account> {
  const path = `/accounts/acct-${number}`;
  await send(operator, "PUT", path, {
    name: `Acme ${number}`,
    claimed: true,
    features: { public_api_payments_write: true },
  });
  await send(operator, "POST", `${path}/payment-methods`, { paymentMethod: "pm_card_visa" });
  await send(operator, "PUT", `${path}/contracts/contract-${number}`, {
    title: "Street scenes",
    jobId: `job-${number}`,
    paymentType: "FIXED_PRICE",
    status: "active",
    freelancer: {
      userId: "freelancer-1",
      displayName: "Maria G.",
      country: "ES",
      profilePath: "/freelancers/1",
    },
  });
  const { token } = await send<{ token: string }>(operator, "POST", `${path}/tokens`, {
    name: "Purchasing agent",
    scopes: ["payments:write", "payments:read", "jobs:read"],
  });
  const credential = readSecret(TOKEN_PREFIX, token);
  if (credential === undefined) throw new TypeError("a token that cannot be one");
  const account = { number, token, ...credential };
  for (let i = 0; i < MILESTONES; i++) {
    await send(operator, "PUT", `${path}/milestones/${milestoneId(account, i)}`, {
      contractId: `contract-${number}`,
      description: "Label 5,000 street scenes, cars and people, as agreed",
      amountUsd: 450,
    });
  }
  return account;
}

async function send<Answer>(
  { port, key }: Operator,
  method: "POST" | "PUT",
  path: string,
  body: unknown,
): Promise<Answer> {
  const answer = await fetch(`http://127.0.0.1:${port}/api/operator/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as Answer;
}
