import { MINUTE } from "../lib/time.ts";

/** Longer than any call waits at the service. */
const WITHIN = MINUTE;
const ANSWER_AT_MOST = 16 * 1024 * 1024;

/** The service that this program speaks to. */
export type Remote = { url: string; version: string };

/** An answer of the service, whatever its status. */
export type Reply = { status: number; retryAfter: string | null; body: Record<string, unknown> };

export type Asked = {
  token?: string;
  /** Sent as JSON; a form as a form; absent: it is a GET. */
  body?: object | URLSearchParams;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  within?: number;
};

/** Why there is no answer that could be used, and what to do: words for a model. */
export class NoAnswer extends Error {
  override name = "NoAnswer";

  constructor({ url }: Remote, what: string, advice: string) {
    super(
      `NO ANSWER: ${url} ${what}. ${advice} If you were creating something, read whether it is there before you repeat it.`,
    );
  }
}

const LATER = "Call again in a few seconds; if that does not help, tell your human.";
const WRONG = "Tell your human: COUNTERSIGN_URL may be wrong, or the service is being changed.";

/**
 * Sends one request to the service.
 * @throws NoAnswer; the reason of `signal`, where that has ended it
 */
export async function ask(remote: Remote, path: string, asked: Asked): Promise<Reply> {
  const { signal, within = WITHIN } = asked;
  const limit = AbortSignal.timeout(within);
  try {
    const response = await fetch(`${remote.url}${path}`, {
      ...toInit(remote, asked),
      // The token is sent to the configured address only.
      redirect: "manual",
      signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
    });
    const { status, headers } = response;
    if (status >= 300 && status < 400) {
      await response.body?.cancel();
      const target = originOf(headers.get("location") ?? "");
      throw new NoAnswer(remote, `sends its callers to ${target}`, WRONG);
    }
    const body = parse(await readText(remote, response));
    if (body === undefined) {
      throw new NoAnswer(remote, `answered ${status}, and nothing that can be read`, WRONG);
    }
    return { status, retryAfter: headers.get("retry-after"), body };
  } catch (error) {
    if (error instanceof NoAnswer || signal?.aborted) throw error;
    if (limit.aborted) throw new NoAnswer(remote, `did not answer within ${within / 1000} seconds`, LATER);
    throw new NoAnswer(remote, `could not be reached (${reasonOf(error)})`, LATER);
  }
}

function toInit({ version }: Remote, { token, body, headers }: Asked): RequestInit {
  const sent = {
    ...headers,
    accept: headers?.accept ?? "application/json",
    "user-agent": `countersign-mcp/${version}`,
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
  };
  if (body === undefined) return { headers: sent };
  if (body instanceof URLSearchParams) return { method: "POST", headers: sent, body };
  return {
    method: "POST",
    headers: { ...sent, "content-type": "application/json" },
    body: JSON.stringify(body),
  };
}

async function readText(remote: Remote, { body, status }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    size += chunk.byteLength;
    if (size > ANSWER_AT_MOST)
      throw new NoAnswer(remote, `answered ${status}, and more than can be read`, WRONG);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function originOf(location: string): string {
  return URL.canParse(location) ? new URL(location).origin : "another page";
}

/** A code such as ECONNREFUSED. Never a message: those may repeat what was sent. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  const code = typeof cause === "object" && cause !== null && "code" in cause ? cause.code : undefined;
  return typeof code === "string" ? code : "no connection";
}
