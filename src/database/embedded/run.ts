import { spawn } from "node:child_process";

/** The system user that Postgres runs as; undefined: the user who runs the app. */
export type Account = { uid: number; gid: number } | undefined;

export type Outcome = { ok: boolean; output: string };

// Nothing of our own environment: PG* variables would bend Postgres, and our secrets are not its business.
// TZ spares initdb the search for the local zone; with LC_ALL every message can be recognised.
const ENVIRONMENT = {
  LC_ALL: "C",
  TZ: "UTC",
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
};

/**
 * Runs a program to its end.
 * @param options.account the user to run it as (only root can choose one)
 * @param options.ownSession keep the terminal's Ctrl-C from it
 * @returns whether it exited with 0, and all that it printed, or why it could not be started; never rejects
 */
export function run(
  command: string,
  args: string[],
  options: { account?: Account; cwd?: string; ownSession?: boolean } = {},
): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      ...options.account,
      cwd: options.cwd ?? (process.platform === "win32" ? undefined : "/"),
      detached: options.ownSession === true && process.platform !== "win32",
      env: ENVIRONMENT,
      stdio: ["ignore", "pipe", "pipe"],
      windowsHide: true,
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text;
      });
    }
    child.on("error", (error) => resolve({ ok: false, output: error.message }));
    child.on("close", (code) => resolve({ ok: code === 0, output: output.trim() }));
  });
}

/**
 * The line of a program's output, or of Postgres's log, that says why it gave up.
 * @returns the first error without its prefix, else the last line
 */
export function reason(output: string): string {
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  const telling =
    lines.find((line) => /\b(FATAL|PANIC|error):\s/.test(line)) ?? lines.at(-1) ?? "no reason given";
  return telling.replace(/^.*?\b(FATAL|PANIC|error):\s+/, "").trim();
}
