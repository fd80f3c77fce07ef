import { setTimeout as delay } from "node:timers/promises";
import { POLL_INTERVAL } from "../agent-auth/schemas.ts";
import * as agentAuth from "./agent-auth.ts";
import { REGISTER_AGAIN } from "./answers.ts";
import type { Remote } from "./remote.ts";
import { type Kept, type TokenFile, TokenFileError } from "./token-file.ts";
import type { Standing } from "./tools.ts";

export type Registry = { remote: Remote; file: TokenFile };
type Unclaimed = Kept & { claim: NonNullable<Kept["claim"]> };

/** How it stands, or the service's refusal; `ended`: of this registration nothing more can come. */
export type Outcome =
  | { ok: true; standing: Standing; replaced?: boolean }
  | { ok: false; refused: agentAuth.Refused; ended: boolean };

const SECOND = 1_000;
/** By how much longer to wait between polls that came too fast (RFC 8628 §3.5). */
const SLOWER = 5;
const SLOWEST = 60;
const ENDED = ["expired_token", "invalid_grant"];

/**
 * Registers, unless what is kept is still good, and keeps the token. What is kept and has ended is replaced.
 * @throws NoAnswer, TokenFileError
 */
export async function register(
  registry: Registry,
  names: { agent_name?: string; organization_name?: string },
  signal: AbortSignal,
): Promise<Outcome> {
  const { remote, file } = registry;
  const found = file.read();
  if (found !== undefined) {
    if (await agentAuth.isAlive(remote, found.token, signal)) return standingOf(found);
    if (isUnclaimed(found)) {
      // The first token ends when a human claims the account: then another one waits to be fetched.
      const outcome = await waitForClaim(registry, found.claim.interval, signal);
      if (outcome.ok || !outcome.ended) return outcome;
    }
  }
  const before = file.read();
  if (before?.token !== found?.token) return register(registry, names, signal);
  file.prepare();
  const answer = await agentAuth.register(remote, names, signal);
  if (!answer.ok) return { ok: false, refused: answer, ended: false };
  const after: Kept = {
    url: remote.url,
    registrationId: answer.registration_id,
    token: answer.access_token,
    scopes: answer.scopes,
    claim: {
      token: answer.claim_token,
      expiresAt: answer.claim_token_expires_at,
      interval: POLL_INTERVAL,
      notBefore: later(0),
    },
  };
  if (await file.replace(before, after)) {
    return { ...standingOf(after), replaced: before !== undefined };
  }
  // Another process has registered meanwhile: its account is the one.
  await agentAuth.revoke(remote, after.token).catch(() => {});
  const theirs = file.read();
  return theirs === undefined ? register(registry, names, signal) : standingOf(theirs);
}

/**
 * Names the human who is to claim the account, and keeps what they need for it.
 * @throws NoAnswer, TokenFileError
 */
export async function nameHuman(
  { remote, file }: Registry,
  kept: Unclaimed,
  email: string,
  signal: AbortSignal,
): Promise<Outcome> {
  const answer = await agentAuth.nameHuman(remote, kept.claim.token, email, signal);
  if (!answer.ok) return { ok: false, refused: answer, ended: false };
  const started = {
    email,
    userCode: answer.user_code,
    verificationUri: answer.verification_uri,
    emailSent: answer.email_sent,
    expiresAt: later(answer.expires_in),
  };
  const claim = { ...kept.claim, interval: answer.interval, notBefore: later(0), started };
  return standingOf(
    await change(file, kept.registrationId, (now) => (isUnclaimed(now) ? { ...now, claim } : now)),
  );
}

/**
 * Waits until a human has claimed the account, and keeps its token; polls as often as the service allows.
 * @throws NoAnswer, TokenFileError; the reason of `signal`
 */
export async function waitForClaim(
  { remote, file }: Registry,
  seconds: number,
  signal: AbortSignal,
): Promise<Outcome> {
  const end = Date.now() + seconds * SECOND;
  for (;;) {
    const kept = file.read();
    if (kept === undefined) throw new TokenFileError(`${file.path} is gone. ${REGISTER_AGAIN}`);
    if (!isUnclaimed(kept)) return standingOf(kept);
    // Whatever the clock did since it was noted.
    const ahead = Math.min(Date.parse(kept.claim.notBefore) - Date.now(), SLOWEST * SECOND);
    if (ahead > 0 && Date.now() + ahead > end) return standingOf(kept);
    await delay(Math.max(ahead, 0), undefined, { signal });
    // Noted before the poll, and for other processes too: so the file can be written when there is a token.
    const { interval } = kept.claim;
    const noted = { ...kept, claim: { ...kept.claim, notBefore: later(interval) } };
    if (!(await file.replace(kept, noted))) continue;
    const found = await poll({ remote, file }, noted, signal);
    if (found !== undefined) return found;
    if (kept.claim.started === undefined) return standingOf(noted);
  }
}

/** Polls once. Never cancelled: the token that it may bring is given only once. */
async function poll(
  { remote, file }: Registry,
  kept: Unclaimed,
  signal: AbortSignal,
): Promise<Outcome | undefined> {
  const answer = await agentAuth.pollToken(remote, kept.claim.token);
  if (answer.ok) {
    const { access_token: token, scopes } = answer;
    const { url, registrationId } = kept;
    return standingOf(await change(file, registrationId, () => ({ url, registrationId, token, scopes })));
  }
  const tooSoon = answer.error === "slow_down";
  if (tooSoon || answer.error === "authorization_pending") {
    const interval = tooSoon ? Math.min(kept.claim.interval + SLOWER, SLOWEST) : kept.claim.interval;
    // Counted from the answer on: the poll may have been long on its way.
    const pace = { interval, notBefore: later(interval) };
    await change(file, kept.registrationId, (now) =>
      isUnclaimed(now) ? { ...now, claim: { ...now.claim, ...pace } } : now,
    );
    return undefined;
  }
  // Another process may have been given it.
  const now = file.read();
  if (now?.registrationId === kept.registrationId && !isUnclaimed(now)) return standingOf(now);
  // The first token lives as long as there is time to claim the account: the service's clock says so, and not ours.
  if (answer.error === "expired_token" && (await agentAuth.isAlive(remote, kept.token, signal))) {
    const { started, ...claim } = kept.claim;
    const after = await change(file, kept.registrationId, (now) =>
      isUnclaimed(now) && now.claim.started?.userCode === started?.userCode ? { ...now, claim } : now,
    );
    const { standing } = standingOf(after);
    return {
      ok: true,
      standing: { ...standing, status: standing.status === "unnamed" ? "expired" : standing.status },
    };
  }
  return { ok: false, refused: answer, ended: ENDED.includes(answer.error) };
}

/** Changes what is kept of a registration, whatever other processes write meanwhile. */
async function change(file: TokenFile, registrationId: string, next: (now: Kept) => Kept): Promise<Kept> {
  for (;;) {
    const now = file.read();
    if (now?.registrationId !== registrationId) {
      throw new TokenFileError(`${file.path} was removed or replaced meanwhile. ${REGISTER_AGAIN}`);
    }
    const after = next(now);
    if (await file.replace(now, after)) return after;
  }
}

export function isUnclaimed(kept: Kept): kept is Unclaimed {
  return kept.claim !== undefined;
}

export function standingOf(kept: Kept): Extract<Outcome, { ok: true }> {
  const { registrationId, scopes, claim } = kept;
  if (claim === undefined) return { ok: true, standing: { status: "claimed", registrationId, scopes } };
  const { expiresAt: claimUntil, started } = claim;
  const standing = { registrationId, scopes, claimUntil };
  return {
    ok: true,
    standing:
      started === undefined
        ? { status: "unnamed", ...standing }
        : { status: "waiting", ...standing, claim: started },
  };
}

function later(seconds: number): string {
  return new Date(Date.now() + seconds * SECOND).toISOString();
}
