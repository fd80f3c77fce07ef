import type { FastifyReply, FastifyRequest } from "fastify";
import type { ProblemName } from "../../lib/problems.ts";
import { checkFormToken, formToken } from "../../sign-in/form-token.ts";
import type { Human } from "../../sign-in/gate.ts";
import type { SignInDeps } from "../../sign-in/service.ts";
import type { Fault } from "./forms.ts";

/** What a page says once, after the redirect that answered a form: a reload repeats neither the form nor the words. */
export type Said = {
  message: string;
  /** The message is information, and nothing went wrong. */
  calm?: true | undefined;
  /** Why it was refused, for a page that has more to say of it than the message. */
  problem?: ProblemName | undefined;
  /** The field that it is about. */
  field?: string | undefined;
  /** What was filled in, so that it need not be filled in again. Never a password. */
  draft?: unknown;
};

type Deps = Pick<SignInDeps, "config" | "keys">;

const NAME = "countersign-said";
const COOKIE = new RegExp(`(?:^|;)\\s*${NAME}=([\\w-]+)\\.([\\w-]+)\\s*(?:;|$)`);
const LASTS_SECONDS = 60;

/** Larger words do not fit into a cookie: browsers would drop it whole. */
const WORDS_AT_MOST = 3_500;
/** The requests whose words have been taken already. */
const taken = new WeakSet<FastifyRequest>();

/**
 * Answers a form by leading back to a page, so that Back and reload repeat nothing.
 * @param said what that page says, once
 */
export function leadTo(
  deps: Deps,
  reply: FastifyReply,
  human: Human,
  address: string,
  said?: Said,
): FastifyReply {
  if (said !== undefined) keepSaid(deps, reply, human, pathIn(address), said);
  return reply.redirect(address, 303);
}

/**
 * Leads back to a form that something is wrong with.
 * @param draft what was filled in, for `takeFault` to give back
 */
export function leadToFault(
  deps: Deps,
  reply: FastifyReply,
  human: Human,
  address: string,
  fault: Fault,
  draft?: unknown,
): FastifyReply {
  return leadTo(deps, reply, human, address, { ...fault, draft });
}

/** Keeps the words for the next page at `path`, signed for this session, so that no one else puts words on it. */
function keepSaid(deps: Deps, reply: FastifyReply, human: Human, path: string, said: Said): void {
  const whole = encode(said);
  const words = whole.length > WORDS_AT_MOST ? encode({ ...said, draft: undefined }) : whole;
  const value = `${words}.${formToken(deps.keys, human, purposeOf(path, words))}`;
  reply.header("set-cookie", cookieLine(deps, path, value, LASTS_SECONDS));
}

/** Takes the words that were kept for this page, once; `show` shows those that the page's own route has not taken. */
export function takeSaid(
  deps: Deps,
  request: FastifyRequest,
  reply: FastifyReply,
  human: Human,
): Said | undefined {
  const said = readSaid(deps, request, human);
  if (said === undefined) return undefined;
  taken.add(request);
  reply.header("set-cookie", cookieLine(deps, pathIn(request.url), "", 0));
  return said;
}

function readSaid(deps: Deps, request: FastifyRequest, human: Human): Said | undefined {
  if (taken.has(request)) return undefined;
  const [, words = "", token] = COOKIE.exec(request.headers.cookie ?? "") ?? [];
  if (!checkFormToken(deps.keys, human, purposeOf(pathIn(request.url), words), token)) return undefined;
  return JSON.parse(Buffer.from(words, "base64url").toString()) as Said;
}

/** What is wrong with a form of this page, and what was filled in; words about the page as a whole stay for `show`. */
export function takeFault<Draft>(
  deps: Deps,
  request: FastifyRequest,
  reply: FastifyReply,
  human: Human,
): { fault?: Fault; draft?: Draft } {
  const said = readSaid(deps, request, human);
  if (said?.field === undefined) return {};
  takeSaid(deps, request, reply, human);
  // Signed, so it is what `leadToFault` was given.
  const draft = said.draft === undefined ? {} : { draft: said.draft as Draft };
  return { fault: { field: said.field, message: said.message }, ...draft };
}

function encode(said: Said): string {
  return Buffer.from(JSON.stringify(said)).toString("base64url");
}

function pathIn(address: string): string {
  return address.split("?", 1)[0] ?? address;
}

function purposeOf(path: string, words: string): string {
  return `said:${path}:${words}`;
}

function cookieLine({ config }: Deps, path: string, value: string, seconds: number): string {
  const secure = config.publicUrl.startsWith("https:") ? "; Secure" : "";
  return `${NAME}=${value}; Max-Age=${seconds}; Path=${path}; HttpOnly${secure}; SameSite=Lax`;
}
