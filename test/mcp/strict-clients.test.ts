import {
  Client,
  type OAuthClientProvider,
  StreamableHTTPClientTransport,
} from "@modelcontextprotocol/client";
import { describe, expect, test } from "vitest";
import { createFixture } from "../support/fixtures.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import { inject } from "./clients.ts";

const { app } = await startService();

/** A client that is ready for an authorization code flow, and has neither a client id nor tokens. */
const provider: OAuthClientProvider = {
  redirectUrl: "http://localhost:7777/callback",
  clientMetadata: { client_name: "test-agent", redirect_uris: ["http://localhost:7777/callback"] },
  clientInformation: () => undefined,
  saveClientInformation: () => undefined,
  tokens: () => undefined,
  saveTokens: () => undefined,
  redirectToAuthorization: () => {
    throw new Error("sent a person to an authorization endpoint");
  },
  saveCodeVerifier: () => undefined,
  codeVerifier: () => "none",
};

function connect(headers: Record<string, string>, asked: string[] = []): Promise<void> {
  const transport = new StreamableHTTPClientTransport(new URL(`${PUBLIC_URL}/mcp`), {
    authProvider: provider,
    requestInit: { headers },
    fetch: (url, init) => {
      asked.push(new URL(String(url)).pathname);
      return inject(app, String(url), init);
    },
  });
  return new Client({ name: "test-agent", version: "1.0.0" }).connect(transport);
}

describe("the official client, ready for OAuth,", () => {
  test("without a token is told that there is none to get here, and not that a document is wrong", async () => {
    const asked: string[] = [];
    await expect(connect({}, asked)).rejects.toThrow(/does not support dynamic client registration/);
    expect(asked.filter((path) => path.startsWith("/.well-known/"))).toEqual([
      "/.well-known/oauth-protected-resource/mcp",
      "/.well-known/oauth-authorization-server",
    ]);
  });

  test("with a key in its header connects", async () => {
    const { token } = await createFixture(app);
    await expect(connect({ authorization: `Bearer ${token}` })).resolves.toBeUndefined();
  });
});
