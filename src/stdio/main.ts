import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { loadStdioConfig, type StdioConfig } from "../config/stdio-config.ts";
import { StartError } from "../lib/start-error.ts";
import { VERSION } from "../lib/version.ts";
import { createStdioServer } from "./server.ts";
import { openTokenFile } from "./token-file.ts";

/** For a poll that is under way: what it is answered is said once. Everything else is given up. */
const STOP_WITHIN = 2_000;

/**
 * `countersign-mcp`: the Model Context Protocol on standard input and output, for one agent. Standard output is the
 * protocol's alone. It ends when its input ends, or by SIGTERM or SIGINT.
 */
function main({ serviceUrl, token, folder }: StdioConfig): void {
  const deps = {
    remote: { url: serviceUrl, version: VERSION },
    file: openTokenFile(folder, serviceUrl),
    token,
    onFault: (error: unknown) => console.error("unforeseen error in a tool", error),
  };
  const serving = serveStdio(() => createStdioServer(deps), {
    onerror: (error) => console.error(error.message),
  });
  const stop = () => {
    setTimeout(() => process.exit(), STOP_WITHIN).unref();
    void serving.close();
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, stop);
  process.stdin.once("close", stop);
}

let config: StdioConfig;
try {
  config = loadStdioConfig();
} catch (error) {
  console.error(error instanceof StartError ? error.message : error);
  process.exit(1);
}
main(config);
