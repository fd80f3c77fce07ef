import { spawn } from "node:child_process";

/**
 * Ends process `pid` should this one die without the chance to: a shell that reads our end of a pipe, which
 * closes however we end. Returns how to release it.
 */
export function guard(pid: number): () => void {
  if (process.platform === "win32") return () => {};
  const shell = spawn("sh", ["-c", 'trap "" INT; read _; kill -9 "$0"', String(pid)], {
    stdio: ["pipe", "ignore", "ignore"],
  });
  shell.unref();
  return () => shell.kill("SIGKILL");
}
