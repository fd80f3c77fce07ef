import type { FastifyReply, FastifyRequest } from "fastify";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import { checkFormToken, formToken } from "../../sign-in/form-token.ts";
import type { Human } from "../../sign-in/gate.ts";

/** What a page says once, after the redirect that answered a form: a reload repeats neither the form nor the words. */
export type Said = {
  message: string;
  /** The message is information, and nothing went wrong. */
  calm?: true | undefined;
  /** The field that it is about. */
  field?: string | undefined;
  /** The amount that was typed, so that it need not be typed again. */
  typedAmount?: string | undefined;
};

type Deps = Pick<SessionDeps, "config" | "keys">;

const NAME = "countersign-said";
const COOKIE = new RegExp(`(?:^|;)\\s*${NAME}=([\\w-]+)\\.([\\w-]+)\\s*(?:;|$)`);
const LASTS_SECONDS = 60;

/** Keeps the words for the next page at `path`, signed for this session, so that no one else puts words on it. */
export function keepSaid(deps: Deps, reply: FastifyReply, human: Human, path: string, said: Said): void {
  const words = Buffer.from(JSON.stringify(said)).toString("base64url");
  const value = `${words}.${formToken(deps.keys, human, purposeOf(path, words))}`;
  reply.header("set-cookie", cookieLine(deps, path, value, LASTS_SECONDS));
}

/** Takes the words that were kept for this page, once. */
export function takeSaid(
  deps: Deps,
  request: FastifyRequest,
  reply: FastifyReply,
  human: Human,
  path: string,
): Said | undefined {
  const [, words = "", token] = COOKIE.exec(request.headers.cookie ?? "") ?? [];
  if (!checkFormToken(deps.keys, human, purposeOf(path, words), token)) return undefined;
  reply.header("set-cookie", cookieLine(deps, path, "", 0));
  return JSON.parse(Buffer.from(words, "base64url").toString()) as Said;
}

function purposeOf(path: string, words: string): string {
  return `said:${path}:${words}`;
}

function cookieLine({ config }: Deps, path: string, value: string, seconds: number): string {
  const secure = config.publicUrl.startsWith("https:") ? "; Secure" : "";
  return `${NAME}=${value}; Max-Age=${seconds}; Path=${path}; HttpOnly${secure}; SameSite=Lax`;
}
