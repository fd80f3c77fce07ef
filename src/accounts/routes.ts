import type { Db } from "../database/connection.ts";
import type { App } from "../http/app.ts";
import { ref } from "../lib/schema.ts";
import { type GateDeps, openGrantGate } from "./gate.ts";
import { Capabilities, JobDraftCapabilities, Me } from "./schemas.ts";
import { describeCapabilities, describeJobDraftCapabilities, describeMe } from "./service.ts";

/** GET /auth/me, GET /capabilities and its older name (docs/contract.md §6). */
export function accountRoutes(app: App, deps: GateDeps & { db: Db }): void {
  const { db } = deps;
  const gate = openGrantGate(deps, "getMe");

  app.get(
    "/auth/me",
    {
      ...gate.options,
      schema: {
        operationId: "getMe",
        summary: "Who is behind this token",
        description:
          "The token, its scopes and its account: the natural first call. Any valid token will do.",
        tags: ["Identity"],
        response: { 200: ref(Me) },
      },
    },
    async (request) => describeMe(db, gate.grant(request)),
  );

  app.get(
    "/capabilities",
    {
      ...gate.options,
      schema: {
        operationId: "getCapabilities",
        summary: "What is enabled for this account",
        description: "The features of the account and the scopes of the token. Any valid token will do.",
        tags: ["Identity"],
        response: { 200: ref(Capabilities) },
      },
    },
    async (request) => describeCapabilities(gate.grant(request)),
  );

  app.get(
    "/job-drafts/capabilities",
    {
      ...gate.options,
      schema: {
        operationId: "getJobDraftCapabilities",
        summary: "What is enabled for this account, in the form of the compatible API",
        description: "What this service has no calls for is false. Any valid token will do.",
        tags: ["Identity"],
        response: { 200: ref(JobDraftCapabilities) },
      },
    },
    async (request) => describeJobDraftCapabilities(gate.grant(request)),
  );
}
