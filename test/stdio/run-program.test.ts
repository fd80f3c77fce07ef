import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { GRANT_TYPE, type Identity } from "../../src/agent-auth/schemas.ts";
import { begin } from "../support/approval-scene.ts";
import { createFixture } from "../support/fixtures.ts";
import { freePort, launch, waitUntil } from "../support/process.ts";
import { programEnvironment } from "../support/program-env.ts";
import { startService } from "../support/service.ts";
import { listen, newHome, readKept, STDIO_MAIN, startProgram } from "./programs.ts";

const service = await startService();
const url = await listen(service.app);

const HELLO = {
  jsonrpc: "2.0",
  id: 1,
  method: "initialize",
  params: { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "raw", version: "1" } },
};
const READY = { jsonrpc: "2.0", method: "notifications/initialized" };
const callOf = (id: number, name: string, args: object) => ({
  jsonrpc: "2.0",
  id,
  method: "tools/call",
  params: { name, arguments: args },
});

/** The program as a client starts it, written to by hand. */
async function startRaw(token: string) {
  const env = { ...programEnvironment(), COUNTERSIGN_URL: url, COUNTERSIGN_TOKEN: token };
  const child = spawn(process.execPath, [STDIO_MAIN], { env: { ...env, XDG_CONFIG_HOME: await newHome() } });
  onTestFinished(() => void child.kill("SIGKILL"));
  const printed = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => (printed.stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (printed.stderr += text));
  const ended = once(child, "close").then(([code, signal]) => ({ code, signal }));
  const send = (...messages: unknown[]) => {
    for (const one of messages) child.stdin.write(`${typeof one === "string" ? one : JSON.stringify(one)}\n`);
  };
  const answers = () =>
    printed.stdout
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  return { child, printed, ended, send, answers };
}

/** The program in the middle of a call that waits at the service. */
async function startWaiting() {
  const story = await begin(service);
  const program = await startRaw(story.token);
  const { send } = program;
  const name = "opentrain_wait_for_approval";
  send(HELLO, READY, callOf(2, name, { approvalId: story.approvalId, waitSeconds: 30 }));
  await waitUntil(() => service.waiters.count === 1, "the call waits");
  return program;
}

describe("standard output", () => {
  test("carries the protocol alone, one message a line, whatever comes in", async () => {
    const { token } = await createFixture(service.app);
    const { child, send, answers, printed, ended } = await startRaw(token);
    send("this is no message", "{", "[]", "null", HELLO, READY, '{"jsonrpc":"2.0"}');
    send(
      callOf(2, "opentrain_auth_status", {}),
      callOf(3, "no_such_tool", {}),
      callOf(4, "opentrain_claim_status", {}),
    );
    await waitUntil(() => answers().length >= 4, "all is answered");
    child.stdin.end();
    expect(await ended).toEqual({ code: 0, signal: null });
    for (const answer of answers()) expect(answer).toMatchObject({ jsonrpc: "2.0" });
    const byId = Object.fromEntries(answers().map((answer) => [answer.id, answer]));
    expect(byId[2].result.structuredContent.token.label).toBe("Test agent");
    expect(byId[3].error).toMatchObject({ code: -32602 });
    expect(byId[4].result.isError).toBe(true);
    expect(printed.stdout + printed.stderr).not.toContain(token);
  });
});

describe("a program that is told to end in the middle of a wait", () => {
  test.each([
    ["SIGTERM", (child: ReturnType<typeof spawn>) => child.kill("SIGTERM")],
    ["SIGINT", (child: ReturnType<typeof spawn>) => child.kill("SIGINT")],
    ["the end of its input", (child: ReturnType<typeof spawn>) => child.stdin?.end()],
  ] as const)(
    "by %s ends before the wait does, and the service is rid of the call",
    async (_how, end) => {
      const { child, ended, printed } = await startWaiting();
      end(child);
      expect(await ended).toEqual({ code: 0, signal: null });
      expect(printed.stdout.split("\n").filter(Boolean)).toHaveLength(1);
      await waitUntil(() => service.waiters.count === 0, "no request waits");
    },
    // The wait itself lasts 30 seconds.
    20_000,
  );
});

describe("a start that cannot succeed", () => {
  test.each([
    [{}, "COUNTERSIGN_URL is missing: set the address of the service, such as https://pay.example.com"],
    [
      { COUNTERSIGN_URL: "pay.example.com" },
      "COUNTERSIGN_URL must be an address that begins with http:// or https://",
    ],
    [
      { COUNTERSIGN_URL: "http://pay.example.com" },
      "COUNTERSIGN_URL must be https, or a token could be read on its way (localhost aside)",
    ],
    [
      { COUNTERSIGN_URL: "http://localhost.example.com" },
      "COUNTERSIGN_URL must be https, or a token could be read on its way (localhost aside)",
    ],
    [
      { COUNTERSIGN_URL: "https://pay.example.com/mcp" },
      "COUNTERSIGN_URL must be an origin alone, without /mcp or anything else: https://pay.example.com",
    ],
    [
      { COUNTERSIGN_URL: "https://u:secret@pay.example.com" },
      "COUNTERSIGN_URL must be an origin alone, without /mcp or anything else: https://pay.example.com",
    ],
    [
      { COUNTERSIGN_URL: "https://pay.example.com", COUNTERSIGN_TOKEN: "secret" },
      "COUNTERSIGN_TOKEN must be an API key, which begins with ot_pat_",
    ],
  ])("says why in one line, and exits with 1: %j", async (env, line) => {
    expect(await launch([], env, STDIO_MAIN).ended).toEqual({
      code: 1,
      signal: null,
      stdout: "",
      stderr: `${line}\n`,
    });
  });
});

function identityOf(url: string, token: string): Identity {
  return {
    identity_type: "anonymous",
    registration_id: "r-1",
    access_token: token,
    token_type: "bearer",
    scopes: [],
    claim_token: `ot_clm_${"C".repeat(65)}`,
    claim_token_expires_at: new Date(Date.now() + 86_400_000).toISOString(),
    claim_endpoint: `${url}/api/agent/identity/claim`,
    token_endpoint: `${url}/api/agent/oauth/token`,
    grant_type: GRANT_TYPE,
  };
}

describe("a service that is not as it should be", () => {
  const TOKEN = `ot_pat_${"A".repeat(65)}`;
  const serve = async (answer: RequestListener, port = 0): Promise<string> => {
    const server = createServer(answer).listen(port, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  const say =
    (status: number, type: string, text: string): RequestListener =>
    (_request, response) =>
      response.writeHead(status, { "content-type": type }).end(text);
  const rpc = (result: unknown) => JSON.stringify({ jsonrpc: "2.0", id: 1, result });

  const WRONG_ANSWERS: Record<string, [RequestListener, RegExp]> = {
    "a page": [say(200, "text/html", "<h1>Welcome</h1>"), /answered 200, and nothing that can be read/],
    "a proxy's error": [say(502, "text/html", "bad gateway"), /answered 502/],
    nothing: [say(200, "application/json", ""), /nothing that can be read/],
    "other JSON": [say(200, "application/json", '{"hello":1}'), /answered 200/],
    "a list": [say(200, "application/json", "[]"), /answered 200/],
    "a number for a result": [say(200, "application/json", rpc(5)), /answered 200/],
    "a result without content": [say(200, "application/json", rpc({})), /answered 200/],
    "content that is none": [say(200, "application/json", rpc({ content: [{ type: "x" }] })), /answered 200/],
    "an error that is none": [say(401, "application/json", '{"error":{"code":"x"}}'), /answered 401/],
    "too much": [(_request, response) => response.end("x".repeat(17 * 1024 * 1024)), /more than can be read/],
    "half an answer": [
      (_request, response) => {
        response.writeHead(200, { "content-length": "100" }).write("{");
        setImmediate(() => response.destroy());
      },
      /could not be reached \(\w+\)/,
    ],
    "no answer at all": [(request) => request.socket.destroy(), /could not be reached \(\w+\)/],
  };

  test("gives an error that says what to do, whatever it answers, and no crash", async () => {
    let answer: RequestListener = () => {};
    const at = await serve((request, response) => answer(request, response));
    const given = await startProgram({ url: at, home: await newHome(), token: TOKEN });
    const own = await startProgram({ url: at, home: await newHome() });
    for (const [what, [wrong, words]] of Object.entries(WRONG_ANSWERS)) {
      answer = wrong;
      for (const result of [
        await given.call("opentrain_list_contracts"),
        await own.call("opentrain_register_agent"),
      ]) {
        expect([result.isError, result.text], what).toEqual([true, expect.stringMatching(/^NO ANSWER: /)]);
        expect(result.text, what).toMatch(words);
        expect(result.text, what).toMatch(/Call again in a few seconds|COUNTERSIGN_URL may be wrong/);
      }
    }
    expect(given.said() + own.said()).not.toContain(TOKEN);
    expect(given.stderr() + own.stderr()).toBe("");
  });

  test("that is not there is said to be not there, and is found when it is back", async () => {
    const port = await freePort();
    const at = `http://127.0.0.1:${port}`;
    const { call } = await startProgram({ url: at, home: await newHome(), token: TOKEN });
    expect((await call("opentrain_list_contracts")).text).toMatch(/could not be reached \(ECONNREFUSED\)/);
    await serve(say(200, "application/json", rpc({ content: [{ type: "text", text: "hello" }] })), port);
    expect((await call("opentrain_list_contracts")).text).toBe("hello");
  });

  test("that sends its callers elsewhere is not followed: the token goes nowhere else", async () => {
    const seen: unknown[] = [];
    const elsewhere = await serve((request, response) => {
      seen.push(request.headers);
      response.end("{}");
    });
    const at = await serve((_request, response) =>
      response.writeHead(307, { location: `${elsewhere}/mcp` }).end(),
    );
    const program = await startProgram({ url: at, home: await newHome(), token: TOKEN });
    expect((await program.call("opentrain_list_contracts")).text).toContain(
      `sends its callers to ${elsewhere}`,
    );
    expect(seen).toEqual([]);
  });

  test("that is slow to give the token that it gives once loses none to a program that is told to end", async () => {
    const claimed = `ot_pat_${"B".repeat(65)}`;
    let asked: (() => void) | undefined;
    let held: Promise<unknown> | undefined;
    const at = await serve((request, response) => {
      const json = (body: unknown) =>
        response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
      if (request.url === "/api/agent/identity") json(identityOf(at, TOKEN));
      else if (request.url === "/mcp") held = once(response, "close");
      else asked = () => json({ access_token: claimed, token_type: "bearer", scopes: ["payments:read"] });
    });
    const home = await newHome();
    const { client, call, pid } = await startProgram({ url: at, home });
    await call("opentrain_register_agent");
    const gone = new Promise((resolve) => (client.onclose = () => resolve("gone")));
    const calls = ["opentrain_claim_status", "opentrain_list_contracts"].map((name) => call(name));
    const rejected = Promise.allSettled(calls);
    await waitUntil(() => asked !== undefined && held !== undefined, "both calls have come");
    process.kill(pid, "SIGTERM");
    // What can be given up has been.
    await held;
    asked?.();
    expect(await gone).toBe("gone");
    await rejected;
    expect(readKept(home, at).kept).toMatchObject({ token: claimed });
  });
});
