import type { HumanLink } from "../mcp/answers.ts";
import type { Refused } from "./agent-auth.ts";
import type { Standing } from "./tools.ts";

type Where = { url: string; path: string };

const KEYS = "/settings/keys";

/** There is no token, and how to come by one. */
export function explainNoToken({ url }: Where): string {
  return (
    `NOT REGISTERED: there is no token for ${url} yet. Call opentrain_register_agent first. If your human has an account ` +
    `already, they can make an API key at ${url}${KEYS} and set it as COUNTERSIGN_TOKEN in your MCP client's configuration.`
  );
}

/** The service no longer takes the token, and whose turn it is. */
export function explainDeadToken({ url, path }: Where, kept: "given" | "unclaimed" | "claimed"): string {
  const ended = "TOKEN ENDED: the service does not take the token any more (revoked or expired).";
  switch (kept) {
    case "given":
      return (
        `${ended} It comes from COUNTERSIGN_TOKEN. Ask your human to make another API key at ${url}${KEYS} and to set it ` +
        "there, in your MCP client's configuration."
      );
    case "unclaimed":
      return (
        "TOKEN ENDED: the service does not take your first token any more. Either a human has claimed the account by now, or " +
        "the 24 hours for that are over. Call opentrain_claim_status: it fetches the new token, or says that you have to register again."
      );
    case "claimed":
      return (
        `${ended} It is left in ${path}. Tell your human: they can make another API key at ${url}${KEYS} and set it as ` +
        "COUNTERSIGN_TOKEN. Only if they want a new account, call opentrain_register_agent: that puts another token in its place."
      );
  }
}

/** There is nothing to register or claim where the human has brought the token. */
export const TOKEN_IS_GIVEN =
  "NOTHING TO DO: your human has given this program a token (COUNTERSIGN_TOKEN), and it uses no other. Go on with the " +
  "other tools; opentrain_auth_status says what the token may do.";

/** How a registration stands, and what to do now. */
export function explainStanding({ status, claim, claimUntil, scopes }: Standing): string {
  const forHuman =
    claim === undefined
      ? ""
      : ` Tell your human: a mail with a link has gone to ${claim.email}; on its page they type the digits ${claim.userCode}. ` +
        `${claim.verificationUri} shows them who is asking.`;
  switch (status) {
    case "claimed":
      return (
        `CLAIMED: a human owns the account, and the token is kept. You may: ${scopes.join(", ")}. What is not there was ` +
        "not allowed; other refusals say who can mend them."
      );
    case "unnamed":
      return (
        "REGISTERED: the token is kept, and the other tools work; you can read and prepare. The account has no owner yet: ask " +
        `your human for their e-mail address and call opentrain_claim_account, before ${claimUntil}.`
      );
    case "expired":
      return (
        "EXPIRED: the account was not claimed in time, or too many wrong digits were typed. Ask your human whether they " +
        `still want to, and call opentrain_claim_account again, before ${claimUntil}.`
      );
    case "waiting":
      return claim?.emailSent === false
        ? "WAITING: this service sends no mail, so your human cannot claim the account by themselves. Tell your human to ask the " +
            "operator of the service to invite them as its owner; they then make an API key for you (COUNTERSIGN_TOKEN)."
        : `WAITING: the human has not taken over yet.${forHuman} Then call opentrain_claim_status.`;
  }
}

/** A refusal of agent authentication, in words that a model can act on. */
export function explainRefused({ error, description }: Refused, advice = ""): string {
  return `REFUSED (${error}): ${description}${advice === "" ? "" : `\n${advice}`}`;
}

export const REGISTER_AGAIN = "Call opentrain_register_agent to register again.";

export function explainLostToken({ url }: Where): string {
  return (
    "The account has an owner, and its token has gone elsewhere (another process, or the answer was lost). Tell your human: " +
    `an owner can make an API key at ${url}${KEYS} and set it as COUNTERSIGN_TOKEN in your MCP client's configuration.`
  );
}

/** What the human is shown of a claim that was begun. */
export function claimLink(claim: NonNullable<Standing["claim"]>): HumanLink {
  return {
    name: "claim",
    url: claim.verificationUri,
    message:
      `Your agent asks you to take over the account that it has registered. Its digits for you: ${claim.userCode}. The page ` +
      `says who asks; the link with which you take over is in the mail to ${claim.email}.`,
  };
}
