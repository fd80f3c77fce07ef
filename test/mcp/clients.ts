import { type CallToolResult, Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import type { Approval } from "../../src/approvals/schemas.ts";
import type { App } from "../../src/http/app.ts";
import { PUBLIC_URL } from "../support/service.ts";

/** The protocol as it is now, and as it was until 2025, with a handshake. */
export const ERAS = ["modern", "legacy"] as const;
export type Era = (typeof ERAS)[number];

/** What a client shows to its human: the address, and what the human does. */
export type ShowUrl = (request: { url: string; message: string }) => Promise<"accept" | "decline" | "cancel">;

export type ClientOptions = { era?: Era; token: string; showUrl?: ShowUrl | undefined };

/** The official client, which has the page of an address shown where `showUrl` is given. */
export function createClient(showUrl?: ShowUrl, era: Era = "modern"): Client {
  const client = new Client(
    { name: "test-agent", version: "1.0.0" },
    {
      capabilities: showUrl === undefined ? {} : { elicitation: { url: {} } },
      versionNegotiation: { mode: era === "modern" ? { pin: "2026-07-28" } : "legacy" },
    },
  );
  if (showUrl !== undefined) {
    client.setRequestHandler("elicitation/create", async ({ params }) => {
      if (params.mode !== "url") throw new TypeError("nothing here asks for a form");
      return { action: await showUrl(params) };
    });
  }
  return client;
}

/** The official client, connected to `/mcp` of the app without a socket. */
export async function connectTo(app: App, { era, token, showUrl }: ClientOptions): Promise<Client> {
  const client = createClient(showUrl, era);
  await client.connect(
    new StreamableHTTPClientTransport(new URL(`${PUBLIC_URL}/mcp`), {
      requestInit: { headers: { authorization: `Bearer ${token}` } },
      fetch: (url, init) => inject(app, String(url), init),
    }),
  );
  return client;
}

/** The fetch of a client: asks the app without a socket. */
export async function inject(app: App, url: string, init: RequestInit = {}): Promise<Response> {
  const { statusCode, headers, rawPayload } = await app.inject({
    method: (init.method ?? "GET") as "POST",
    url: new URL(url).pathname,
    headers: Object.fromEntries(new Headers(init.headers)),
    ...(typeof init.body === "string" ? { payload: init.body } : {}),
  });
  const empty = statusCode === 202 || statusCode === 204;
  return new Response(empty ? null : new Uint8Array(rawPayload), {
    status: statusCode,
    headers: Object.entries(headers).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, String(value)]],
    ) as [string, string][],
  });
}

/** The approval that a tool has answered, if it has. */
export function approvalIn({ structuredContent }: { structuredContent?: unknown }): Approval {
  const { approval } = (structuredContent ?? {}) as { approval: Approval };
  return approval;
}

/** All that a result says to a model. */
export function textOf({ content }: CallToolResult): string {
  return content.map((block) => (block.type === "text" ? block.text : "")).join("\n");
}
