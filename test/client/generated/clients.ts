import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { FetchedTools } from "../../support/fetched-tools.ts";

/** Where the description lies, and where each client goes to, in the folder of the tools. */
const INPUT = "api.json";
const OUTPUT = "out";

type Client = {
  /** Writes the client of `api.json` into `out/<its name>`. */
  generate(tools: FetchedTools): Promise<string>;
  /** A program that tells `story.ts` by the client. */
  program: string;
};

/** The generators that people use for TypeScript. openapi-typescript writes ours, in every run. */
export const CLIENTS: Record<string, Client> = {
  "openapi-typescript-codegen": {
    generate: ({ run }) =>
      run(
        "openapi-typescript-codegen/bin/index.js",
        ...["--input", INPUT, "--output", `${OUTPUT}/openapi-typescript-codegen`, "--client", "fetch"],
      ),
    // It sends forms as multipart/form-data, which OAuth does not take: no `poll`.
    program: `
import * as api from "./out/openapi-typescript-codegen";
import { tellStory } from "./story.ts";

const as = (token: string) => {
  const call = <Args extends unknown[], Answer>(by: (...args: Args) => Answer) => (...args: Args) => {
    api.OpenAPI.TOKEN = token;
    return by(...args);
  };
  return {
    me: call(() => api.IdentityService.getMe()),
    milestones: call(async () => (await api.ContractsService.listContracts()).contracts.flatMap((c) => c.milestones)),
    fund: call((id: string) => api.ApprovalsService.requestMilestoneFunding(id)),
    approval: call((id: string) => api.ApprovalsService.getApproval(id)),
    topUp: call((key: string, amountUsd: number) => api.CreditsService.createTopUp({ amountUsd }, key)),
    updates: call((cursor: string, limit: number) => api.UpdatesService.listUpdates(cursor, limit)),
  };
};
await tellStory({
  register: (agent_name) => api.RegistrationService.registerAgent({ agent_name }),
  refusal: (call) => call.then(() => { throw new Error("no refusal"); }, (error: api.ApiError) => error.body),
  as,
});
`,
  },

  "hey-api": {
    generate: ({ run }) =>
      run(
        "@hey-api/openapi-ts/bin/run.js",
        ...["-i", INPUT, "-o", `${OUTPUT}/hey-api`, "-c", "@hey-api/client-fetch"],
      ),
    program: `
import * as api from "./out/hey-api";
import { tellStory } from "./story.ts";

const thrown = { throwOnError: true } as const;
await tellStory({
  register: async (agent_name) => (await api.registerAgent({ body: { agent_name }, ...thrown })).data,
  poll: (grant_type, claim_token) => api.pollToken({ body: { grant_type, claim_token }, ...thrown }),
  refusal: (call) => call.then(() => { throw new Error("no refusal"); }, (body) => body),
  as: (auth) => {
    const options = { auth, ...thrown };
    return {
      me: async () => (await api.getMe(options)).data,
      milestones: async () => (await api.listContracts(options)).data.contracts.flatMap((c) => c.milestones),
      fund: async (milestoneId) => (await api.requestMilestoneFunding({ path: { milestoneId }, ...options })).data,
      approval: async (approvalId) => (await api.getApproval({ path: { approvalId }, ...options })).data,
      topUp: async (key, amountUsd) =>
        (await api.createTopUp({ body: { amountUsd }, headers: { "Idempotency-Key": key }, ...options })).data,
      updates: async (cursor, limit) => (await api.listUpdates({ query: { cursor, limit }, ...options })).data,
    };
  },
});
`,
  },

  orval: {
    generate: async ({ folder, run }) => {
      // By itself it writes addresses without an origin, for pages.
      const output = {
        target: `./${OUTPUT}/orval/api.ts`,
        client: "fetch",
        baseUrl: { getBaseUrlFromSpecification: true },
      };
      const config = { api: { input: `./${INPUT}`, output } };
      await writeFile(join(folder, "orval.config.mjs"), `export default ${JSON.stringify(config)};`);
      return run("orval/dist/bin/orval.mjs", "--config", "orval.config.mjs");
    },
    program: `
import * as api from "./out/orval/api.ts";
import { tellStory } from "./story.ts";

// An answer carries its status, by which the compiler tells its type.
class Refused {
  readonly body: { code?: string; error: string; details?: unknown };
  constructor(body: Refused["body"]) {
    this.body = body;
  }
}
async function dataOf<Answer extends { status: number; data: unknown }, Status extends Answer["status"]>(
  status: Status,
  call: Promise<Answer>,
) {
  const answer = await call;
  if (answer.status !== status) throw new Refused(answer.data as Refused["body"]);
  return answer.data as Extract<Answer, { status: Status }>["data"];
}
await tellStory({
  register: (agent_name) => dataOf(200, api.registerAgent({ agent_name })),
  poll: (grant_type, claim_token) => dataOf(200, api.pollToken({ grant_type, claim_token })),
  refusal: (call) => call.then(() => { throw new Error("no refusal"); }, (error: Refused) => error.body),
  as: (token) => {
    const headers = { Authorization: \`Bearer \${token}\` };
    return {
      me: () => dataOf(200, api.getMe({ headers })),
      milestones: async () =>
        (await dataOf(200, api.listContracts({}, { headers }))).contracts.flatMap((c) => c.milestones),
      fund: (id) => dataOf(202, api.requestMilestoneFunding(id, { headers })),
      approval: (id) => dataOf(200, api.getApproval(id, { headers })),
      topUp: (key, amountUsd) =>
        dataOf(201, api.createTopUp({ amountUsd }, { headers: { ...headers, "Idempotency-Key": key } })),
      updates: (cursor, limit) => dataOf(200, api.listUpdates({ cursor, limit }, { headers })),
    };
  },
});
`,
  },

  "swagger-typescript-api": {
    generate: ({ run }) =>
      run(
        "swagger-typescript-api/dist/cli.mjs",
        ...["generate", "-p", INPUT, "-o", `${OUTPUT}/swagger-typescript-api`],
      ),
    program: `
import { Api } from "./out/swagger-typescript-api/Api.ts";
import { tellStory } from "./story.ts";

const anybody = new Api().api;
await tellStory({
  register: async (agent_name) => (await anybody.registerAgent({ agent_name })).data,
  poll: (grant_type, claim_token) => anybody.pollToken({ grant_type, claim_token }),
  refusal: (call) => call.then(() => { throw new Error("no refusal"); }, ({ error }) => error),
  as: (token) => {
    const headers = { Authorization: \`Bearer \${token}\` };
    const { api } = new Api({ baseApiParams: { headers } });
    return {
      me: async () => (await api.getMe()).data,
      milestones: async () => (await api.listContracts()).data.contracts.flatMap((c) => c.milestones),
      fund: async (id) => (await api.requestMilestoneFunding(id)).data,
      approval: async (id) => (await api.getApproval(id)).data,
      topUp: async (key, amountUsd) =>
        (await api.createTopUp({ amountUsd }, { headers: { ...headers, "Idempotency-Key": key } })).data,
      updates: async (cursor, limit) => (await api.listUpdates({ cursor, limit })).data,
    };
  },
});
`,
  },

  kubb: {
    generate: async ({ folder, run }) => {
      const config = `import { pluginClient } from "@kubb/plugin-client";
import { pluginOas } from "@kubb/plugin-oas";
import { pluginTs } from "@kubb/plugin-ts";
export default {
  root: ".",
  input: { path: "${INPUT}" },
  output: { path: "./${OUTPUT}/kubb", format: false, lint: false },
  plugins: [pluginOas({ validate: false, serverIndex: 0 }), pluginTs(), pluginClient({ client: "fetch", bundle: true })],
};`;
      await writeFile(join(folder, "kubb.config.mjs"), config);
      return run("@kubb/cli/bin/kubb.cjs", "generate");
    },
    // Its fetch gives the body alone, whatever the status, names no type with JSON, and writes forms as JSON: no `poll`.
    program: `
import * as api from "./out/kubb";
import { getConfig, setConfig } from "./out/kubb/.kubb/fetch.ts";
import { tellStory } from "./story.ts";

setConfig({ headers: { "Content-Type": "application/json" } });
await tellStory({
  register: (agent_name) => api.registerAgent({ agent_name }),
  refusal: async (call) => (await call) as { error: string },
  as: (token) => {
    const config = { headers: { ...getConfig().headers, Authorization: \`Bearer \${token}\` } };
    return {
      me: () => api.getMe(config),
      milestones: async () => (await api.listContracts({}, config)).contracts.flatMap((c) => c.milestones),
      fund: (id) => api.requestMilestoneFunding(id, config),
      approval: (id) => api.getApproval(id, config),
      topUp: (key, amountUsd) => api.createTopUp({ amountUsd }, { "Idempotency-Key": key }, config),
      updates: (cursor, limit) => api.listUpdates({ cursor, limit }, config),
    };
  },
});
`,
  },
};
