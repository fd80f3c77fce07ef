import Negotiator from "negotiator";

/** One JSON-RPC message, as far as it is looked at here. */
type Message = { error?: { code: number; message: string } };

const JSON_TYPE = "application/json";
const STREAM_TYPE = "text/event-stream";
const INVALID_PARAMS = -32602;
/** Where the SDK quotes what its validator says: the faults, as JSON, after words of its own. */
const FAULTS = /\[\s*\{.*\}\s*\]$/s;

/** What answers one request to `/mcp`, as it goes out. */
export type Answer = { status: number; type: string | undefined; body: string };

/**
 * Answers in whichever of the two types the caller would rather have, and in JSON where they name neither: clients send
 * one, both, a wildcard or nothing.
 * @param response what the SDK has answered, in either type
 * @param batch whether the request was several messages, which are answered together
 */
export async function writeAnswer(
  response: Response,
  { accept, batch }: { accept: string | undefined; batch: boolean },
): Promise<Answer> {
  const messages = await readMessages(response);
  const { status } = response;
  if (messages.length === 0) return { status, type: undefined, body: "" };
  const told = messages.map(withoutRawText);
  const type = new Negotiator({ headers: { accept } }).mediaType([JSON_TYPE, STREAM_TYPE]);
  if (type === STREAM_TYPE) {
    const events = told.map((message) => `event: message\ndata: ${JSON.stringify(message)}\n\n`);
    return { status, type: STREAM_TYPE, body: events.join("") };
  }
  return { status, type: JSON_TYPE, body: JSON.stringify(batch ? told : told[0]) };
}

async function readMessages(response: Response): Promise<Message[]> {
  const text = await response.text();
  if (text === "") return [];
  if (!response.headers.get("content-type")?.startsWith(STREAM_TYPE)) return [JSON.parse(text)].flat();
  return [...text.matchAll(/^data: (.+)$/gm)].map(([, data = ""]) => JSON.parse(data));
}

/** A fault in the parameters is the caller's, and named by the place of the first: the SDK would quote its validator. */
function withoutRawText(message: Message): Message {
  const faults = FAULTS.exec(message.error?.message ?? "")?.[0];
  if (message.error === undefined || faults === undefined) return message;
  return { ...message, error: { code: INVALID_PARAMS, message: `Invalid \`${firstPlace(faults)}\`.` } };
}

function firstPlace(faults: string): string {
  try {
    const [first]: { path?: (string | number)[] }[] = JSON.parse(faults);
    return first?.path?.join(".") || "params";
  } catch {
    return "params";
  }
}
