import type { ValidateFunction } from "ajv";
import { ClaimedToken, GRANT_TYPE, Identity, StartedClaim } from "../agent-auth/schemas.ts";
import { compileStrict } from "../http/validation.ts";
import { type Asked, ask, NoAnswer, type Remote } from "./remote.ts";

/** A refusal of agent authentication, in OAuth's shape. */
export type Refused = { error: string; description: string };
type Answered<T> = ({ ok: true } & T) | ({ ok: false } & Refused);

const isIdentity = compileStrict(Identity);
const isStartedClaim = compileStrict(StartedClaim);
const isClaimedToken = compileStrict(ClaimedToken);
/** The caller does not cancel a poll, as its answer is given only once; so it has a limit of its own. */
const POLL_WITHIN = 10_000;

/** @throws NoAnswer */
export function register(
  remote: Remote,
  names: { agent_name?: string; organization_name?: string },
  signal: AbortSignal,
): Promise<Answered<Identity>> {
  return call(remote, "/api/agent/identity", { body: names, signal }, isIdentity);
}

/** @throws NoAnswer */
export function nameHuman(
  remote: Remote,
  claimToken: string,
  email: string,
  signal: AbortSignal,
): Promise<Answered<StartedClaim>> {
  const body = { claim_token: claimToken, email };
  return call(remote, "/api/agent/identity/claim", { body, signal }, isStartedClaim);
}

/** @throws NoAnswer */
export function pollToken(remote: Remote, claimToken: string): Promise<Answered<ClaimedToken>> {
  const body = new URLSearchParams({ grant_type: GRANT_TYPE, claim_token: claimToken });
  return call(remote, "/api/agent/oauth/token", { body, within: POLL_WITHIN }, isClaimedToken);
}

/** @throws NoAnswer */
export async function revoke(remote: Remote, token: string): Promise<void> {
  await ask(remote, "/api/agent/oauth/revoke", { body: new URLSearchParams({ token }) });
}

/** Whether the service still takes the token. @throws NoAnswer */
export async function isAlive(remote: Remote, token: string, signal: AbortSignal): Promise<boolean> {
  const { status } = await ask(remote, "/api/public/v1/auth/me", { token, signal });
  if (status === 200) return true;
  if (status === 401) return false;
  throw new NoAnswer(remote, `answered ${status}`, "Call again in a few seconds.");
}

async function call<T extends object>(
  remote: Remote,
  path: string,
  asked: Asked,
  isAnswer: ValidateFunction,
): Promise<Answered<T>> {
  const { status, retryAfter, body } = await ask(remote, path, asked);
  if (status === 200 && isAnswer(body)) return { ok: true, ...(body as T) };
  const { error, error_description: description } = body;
  if (status !== 200 && typeof error === "string") {
    const wait = retryAfter === null ? "" : ` Wait ${retryAfter} seconds before you call again.`;
    return { ok: false, error, description: `${typeof description === "string" ? description : ""}${wait}` };
  }
  throw new NoAnswer(
    remote,
    `answered ${status}, and nothing that agent authentication answers`,
    "Tell your human: COUNTERSIGN_URL may be wrong.",
  );
}
