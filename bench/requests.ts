import { type Account, milestoneId } from "./data.ts";

/** A server under load, and how it is told who asks. */
export type Target = { name: string; port: number; credentials(account: Account): string };

/** Asks for the first `count` milestones of each account, account after account, so that none is asked twice in a row. */
export function fundRequests(target: Target, accounts: readonly Account[], count: number): string[] {
  return Array.from({ length: count }, (_, milestone) =>
    accounts.map((account) =>
      request(target, account, "POST", `/milestones/${milestoneId(account, milestone)}/fund`),
    ),
  ).flat();
}

/** Reads each of the approvals once. */
export function approvalRequests(
  target: Target,
  approvals: readonly { account: Account; approvalId: string }[],
): string[] {
  return approvals.map(({ account, approvalId }) =>
    request(target, account, "GET", `/approvals/${approvalId}`),
  );
}

/** Waits for events of the account after `cursor`. */
export function waitRequest(target: Target, account: Account, cursor: string): string {
  return request(target, account, "GET", `/updates?wait=30&cursor=${cursor}`);
}

function request({ credentials }: Target, account: Account, method: "GET" | "POST", path: string): string {
  const length = method === "POST" ? "Content-Length: 0\r\n" : "";
  return `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${credentials(account)}\r\n${length}\r\n`;
}
