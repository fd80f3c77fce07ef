import type { App } from "../http/app.ts";
import { servePublicDocument } from "../http/public-document.ts";
import { SCOPES } from "../lib/scopes.ts";
import { claimedScopes, GRANT_TYPE, IDENTITY_TYPES, POLL_INTERVAL, PRE_CLAIM_SCOPES } from "./schemas.ts";
import { type AgentAuthConfig, canClaim, endpointsOf } from "./service.ts";

/**
 * Discovery for agents that know only the address of this service: the protected resources that a 401 names (RFC 9728),
 * and the authorization server (RFC 8414), which is this service too. `/mcp` is a resource of its own and names no
 * authorization server: an MCP client takes any that is named for one with an authorization code flow (decision 39).
 */
export function discoveryRoutes(app: App, config: AgentAuthConfig): void {
  const { publicUrl } = config;
  const api = { ...describeResource(config, publicUrl), authorization_servers: [publicUrl] };
  const documents = {
    "/.well-known/oauth-protected-resource": api,
    "/.well-known/oauth-protected-resource/mcp": describeResource(config, `${publicUrl}/mcp`),
    "/.well-known/oauth-authorization-server": describeServer(config),
  };
  for (const [path, document] of Object.entries(documents)) {
    const write = () => JSON.stringify(document);
    servePublicDocument(app, path, { type: "application/json; charset=utf-8", write });
  }
}

function describeResource({ publicUrl, appName }: AgentAuthConfig, resource: string) {
  return {
    resource,
    resource_name: appName,
    bearer_methods_supported: ["header"],
    scopes_supported: SCOPES,
    resource_documentation: `${publicUrl}/auth.md`,
  };
}

function describeServer(config: AgentAuthConfig) {
  const { publicUrl } = config;
  const { identity, claim, token, revocation } = endpointsOf(publicUrl);
  return {
    issuer: publicUrl,
    // Strict clients refuse metadata without this. There is no authorization code flow, as `response_types_supported`
    // says: a person creates a key on this page.
    authorization_endpoint: `${publicUrl}/settings/keys`,
    token_endpoint: token,
    revocation_endpoint: revocation,
    response_types_supported: [],
    grant_types_supported: [GRANT_TYPE],
    // No client has a secret.
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
