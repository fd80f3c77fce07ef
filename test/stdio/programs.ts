import { readdirSync, readFileSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { onTestFinished } from "vitest";
import type { App } from "../../src/http/app.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { createClient, type Era, type ShowUrl, textOf } from "../mcp/clients.ts";
import { type Agent, claim, mailedSecret } from "../support/agents.ts";
import type { Answer } from "../support/fixtures.ts";
import { programEnvironment } from "../support/program-env.ts";
import type { TestService } from "../support/service.ts";

export const STDIO_MAIN = join(import.meta.dirname, "../../src/stdio/main.ts");

/** Has the app listen on loopback, and says where. */
export async function listen(app: App): Promise<string> {
  return app.listen({ host: "127.0.0.1", port: 0 });
}

/** An empty folder for what a program configures, gone after the test. */
export async function newHome(): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), "countersign-stdio-"));
  onTestFinished(() => rm(home, { recursive: true, force: true }));
  return home;
}

export type ProgramOptions = {
  url: string;
  home: string;
  token?: string;
  era?: Era;
  showUrl?: ShowUrl | undefined;
};

/** A program in a home of its own, if it is not given another's. */
export async function startAlone(options: Partial<ProgramOptions> & { url: string }) {
  const home = options.home ?? (await newHome());
  return { home, ...(await startProgram({ ...options, home })) };
}

export type ClientOfProgram = {
  client: Client;
  pid: number;
  /** Calls a tool; `text` is all that a model is told. */
  call(
    name: string,
    args?: Record<string, unknown>,
  ): Promise<{ text: string; isError: boolean; body: Answer["body"] }>;
  /** All that it has written: on standard error, and in every answer so far. */
  said(): string;
  stderr(): string;
  close(): Promise<void>;
};

/** The official client, talking to the real program, which it has started. It ends with the test. */
export async function startProgram({
  url,
  home,
  token,
  era,
  showUrl,
}: ProgramOptions): Promise<ClientOfProgram> {
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [STDIO_MAIN],
    env: {
      ...programEnvironment(),
      COUNTERSIGN_URL: url,
      XDG_CONFIG_HOME: home,
      ...(token === undefined ? {} : { COUNTERSIGN_TOKEN: token }),
    },
    stderr: "pipe",
  });
  let stderr = "";
  transport.stderr?.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const client = createClient(showUrl, era);
  await client.connect(transport);
  onTestFinished(() => client.close());
  const answers: string[] = [];
  return {
    client,
    pid: transport.pid ?? 0,
    call: async (name, args = {}) => {
      const result = await client.callTool({ name, arguments: args });
      answers.push(JSON.stringify(result));
      return { text: textOf(result), isError: result.isError === true, body: result.structuredContent };
    },
    said: () => `${stderr}\n${answers.join("\n")}`,
    stderr: () => stderr,
    close: () => client.close(),
  };
}

/** Where a program with that home keeps its token for the service. */
export function tokenPath(home: string, url: string): string {
  return join(home, "countersign", `${encodeURIComponent(url)}.json`);
}

/** What is kept there, and how: everything that lies in the folder, too. */
export function readKept(home: string, url: string) {
  const folder = join(home, "countersign");
  const path = tokenPath(home, url);
  const modeOf = (of: string) => (statSync(of).mode & 0o777).toString(8);
  return {
    files: readdirSync(folder),
    modes: [modeOf(folder), modeOf(path)],
    kept: JSON.parse(readFileSync(path, "utf8")),
  };
}

/** What a program says of a claim that was begun. */
export type Started = { email: string; userCode: string; verificationUri: string };

/** The human does what the mail and the digits say. @returns the cookie of their session */
export async function completeClaim(
  { app, db }: Pick<TestService, "app" | "db">,
  { email, userCode: code }: Started,
  ticked: Record<string, string> = {},
): Promise<string> {
  const agent = { id: "", accountId: "", token: "", claimToken: "" };
  return claim(app, { agent, email, code, page: "", link: await mailedSecret(db, email) }, ticked);
}

/** The registration that a program keeps, as the helpers for agents know one. */
export function agentOf(home: string, url: string): Agent {
  const { registrationId: id, token, claim } = readKept(home, url).kept;
  return { id, accountId: accountKey(id), token, claimToken: claim?.token };
}
