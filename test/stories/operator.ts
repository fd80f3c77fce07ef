import { OPERATOR_KEY } from "../support/service.ts";

/**
 * The one thing that the operator of the marketplace does in these stories: the account gets a contract.
 * @returns the contract's id
 */
export async function giveContract(origin: string, organizationId: string): Promise<string> {
  const contractId = `c-${organizationId}`;
  const response = await fetch(
    `${origin}/api/operator/v1/accounts/${organizationId}/contracts/${contractId}`,
    {
      method: "PUT",
      headers: { authorization: `Bearer ${OPERATOR_KEY}`, "content-type": "application/json" },
      body: JSON.stringify({
        title: "Street scenes",
        jobId: "job-1",
        paymentType: "FIXED_PRICE",
        freelancer: { userId: "f-1", displayName: "Maria G.", country: "Spain", profilePath: "/maria" },
      }),
    },
  );
  if (response.status !== 201) throw new Error(`no contract: ${await response.text()}`);
  return contractId;
}
