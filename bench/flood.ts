import { randomBytes } from "node:crypto";
import { Agent, request } from "node:http";
import { setTimeout as delay } from "node:timers/promises";

/** What a stranger sends: each kind at its own rate, at an address that others share. */
export type FloodKind = "no credential" | "false tokens" | "wrong passwords";
export type Flood = { ports: readonly number[]; kinds: readonly FloodKind[]; seconds: number; email: string };
/** How many requests were sent of each kind, and what came of all of them, by status. */
export type FloodResult = { sent: Record<string, number>; answers: Record<string, number> };

const PER_SECOND: Record<FloodKind, number> = {
  "no credential": 1_000,
  "false tokens": 500,
  "wrong passwords": 50,
};
const TICK = 20;
/** Requests of one kind that wait for their answers at once. */
const AT_ONCE = 200;

const agent = new Agent({ keepAlive: true, maxSockets: 100 });

function send(port: number, kind: FloodKind, email: string): Promise<string> {
  const { method, path, headers, body = "" } = requestOf(kind, email);
  return new Promise((resolve) => {
    const outgoing = request({ agent, host: "127.0.0.1", port, method, path, headers }, (answer) => {
      answer.resume().once("end", () => resolve(String(answer.statusCode)));
    });
    outgoing.once("error", () => resolve("no answer"));
    outgoing.setTimeout(10_000, () => outgoing.destroy());
    outgoing.end(body);
  });
}

function requestOf(kind: FloodKind, email: string) {
  if (kind === "no credential") return { method: "GET", path: "/updates", headers: {} };
  if (kind === "false tokens") {
    const token = `ot_pat_${randomBytes(64).toString("base64url").slice(0, 43)}${"A".repeat(22)}`;
    return { method: "GET", path: "/updates", headers: { authorization: `Bearer ${token}` } };
  }
  // Half in a person's name, half in names that nobody has.
  const name = Math.random() < 0.5 ? email : `${randomBytes(6).toString("hex")}@example.com`;
  const headers = {
    "content-type": "application/x-www-form-urlencoded",
    "sec-fetch-site": "same-origin",
    accept: "text/html",
  };
  const body = new URLSearchParams({ email: name, password: "not the password" }).toString();
  return { method: "POST", path: "/sign-in", headers: { ...headers, "content-length": body.length }, body };
}

async function flood({ ports, kinds, seconds, email }: Flood): Promise<FloodResult> {
  const sent: Record<string, number> = {};
  const answers: Record<string, number> = {};
  const begin = performance.now();
  const underWay: Record<FloodKind, number> = { "no credential": 0, "false tokens": 0, "wrong passwords": 0 };
  for (let elapsed = 0; elapsed < seconds * 1_000; elapsed = performance.now() - begin) {
    for (const kind of kinds) {
      const due = Math.floor((elapsed / 1_000) * PER_SECOND[kind]);
      for (let count = sent[kind] ?? 0; count < due && underWay[kind] < AT_ONCE; count++) {
        sent[kind] = count + 1;
        underWay[kind] += 1;
        void send(ports[count % ports.length] ?? 0, kind, email).then((answer) => {
          underWay[kind] -= 1;
          answers[answer] = (answers[answer] ?? 0) + 1;
        });
      }
    }
    await delay(TICK);
  }
  while (Object.values(underWay).some((count) => count > 0)) await delay(TICK);
  return { sent, answers };
}

process.on("message", (work: Flood) => {
  void flood(work).then((result) => process.send?.(result));
});
