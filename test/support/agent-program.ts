import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** An approval whose link a program hands to its human. */
export type HandedOver = { approvalId: string; approvalUrl: string };

/**
 * Runs an agent's program, which prints a line of JSON for each approval that its human has to decide, and `done` at its
 * end.
 * @param decide what the human does with each
 * @returns how it ended, and the approvals that it handed over
 */
export async function runAgent(
  command: readonly [file: string, ...args: string[]],
  decide: (approval: HandedOver) => Promise<void>,
): Promise<{ code: number; complaints: string; done: boolean; decided: HandedOver[] }> {
  const agent = spawn(process.execPath, command, { stdio: ["ignore", "pipe", "pipe"] });
  let complaints = "";
  agent.stderr.on("data", (text) => {
    complaints += text;
  });
  const ended = once(agent, "close");
  const decided: HandedOver[] = [];
  let done = false;
  for await (const line of createInterface(agent.stdout)) {
    const said = JSON.parse(line);
    done = said.done === true;
    if (done) continue;
    await decide(said);
    decided.push(said);
  }
  return { code: (await ended)[0], complaints, done, decided };
}
