import { claimedScopes, GRANT_TYPE, POLL_INTERVAL, PRE_CLAIM_SCOPES } from "../agent-auth/schemas.ts";
import { endpointsOf } from "../agent-auth/service.ts";
import { ORIGIN, unclaimed } from "./story.ts";

/** How the agent of the story came: it registered, named Ada, and polled until she had claimed its account. */
const { claim, token } = endpointsOf(ORIGIN);
const CLAIM_TOKEN = "ot_cat_…";

export const asked = { agent_name: "Claude Code", organization_name: "Acme Research" };
export const registered = {
  identity_type: "anonymous",
  registration_id: unclaimed.account.organizationId,
  access_token: "ot_pat_…",
  token_type: "bearer" as const,
  scopes: PRE_CLAIM_SCOPES,
  claim_token: CLAIM_TOKEN,
  claim_token_expires_at: "2026-11-24T08:44:00.000Z",
  claim_endpoint: claim,
  token_endpoint: token,
  grant_type: GRANT_TYPE as typeof GRANT_TYPE,
};
export const naming = { claim_token: CLAIM_TOKEN, email: "ada@acme.example" };
export const started = {
  user_code: "482913",
  verification_uri: `${ORIGIN}/claim?token=${CLAIM_TOKEN}`,
  expires_in: 1800,
  interval: POLL_INTERVAL,
  email_sent: true,
};
export const poll = { grant_type: GRANT_TYPE, claim_token: CLAIM_TOKEN };
export const claimed = {
  access_token: "ot_pat_…",
  token_type: "bearer" as const,
  scopes: claimedScopes({ paymentsWrite: true, webhooksManage: true }),
};
