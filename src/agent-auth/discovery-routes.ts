import type { App } from "../http/app.ts";
import { SCOPES } from "../lib/scopes.ts";
import { claimedScopes, GRANT_TYPE, IDENTITY_TYPES, POLL_INTERVAL, PRE_CLAIM_SCOPES } from "./schemas.ts";
import { type AgentAuthConfig, canClaim, endpointsOf } from "./service.ts";

/**
 * Discovery for agents that know only the address of this service: the protected resource that every 401 names (RFC 9728),
 * and the authorization server (RFC 8414), which is this service too. Both name the origin, as everything that takes a
 * token is under it.
 */
export function discoveryRoutes(app: App, config: AgentAuthConfig): void {
  const options = { config: { access: { by: "public" as const } }, schema: { hide: true } };
  app.get("/.well-known/oauth-protected-resource", options, async () => describeResource(config));
  app.get("/.well-known/oauth-authorization-server", options, async () => describeServer(config));
}

function describeResource({ publicUrl, appName }: AgentAuthConfig) {
  return {
    resource: publicUrl,
    resource_name: appName,
    authorization_servers: [publicUrl],
    bearer_methods_supported: ["header"],
    scopes_supported: SCOPES,
    resource_documentation: `${publicUrl}/docs`,
  };
}

function describeServer(config: AgentAuthConfig) {
  const { publicUrl } = config;
  const { identity, claim, token, revocation } = endpointsOf(publicUrl);
  return {
    issuer: publicUrl,
    token_endpoint: token,
    revocation_endpoint: revocation,
    // There is no authorization endpoint, and no client has a secret.
    response_types_supported: [],
    grant_types_supported: [GRANT_TYPE],
    token_endpoint_auth_methods_supported: ["none"],
    revocation_endpoint_auth_methods_supported: ["none"],
    scopes_supported: SCOPES,
    service_documentation: `${publicUrl}/auth.md`,
    // The auth.md convention: the present names of its endpoints, then the earlier ones.
    agent_auth: {
      skill: `${publicUrl}/auth.md`,
      identity_endpoint: identity,
      claim_endpoint: claim,
      register_uri: identity,
      claim_uri: claim,
      token_endpoint: token,
      revocation_endpoint: revocation,
      grant_type: GRANT_TYPE,
      interval: POLL_INTERVAL,
      identity_types_supported: IDENTITY_TYPES,
      anonymous: {
        credential_types_supported: ["access_token"],
        pre_claim_scopes: PRE_CLAIM_SCOPES,
        // Some of them only if the human ticks them.
        post_claim_scopes: claimedScopes({ paymentsWrite: true, webhooksManage: true }),
      },
      claiming_supported: canClaim(config),
    },
  };
}
