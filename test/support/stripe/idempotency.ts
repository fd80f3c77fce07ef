import type { Books, KeptAnswer } from "./books.ts";
import { Refusal } from "./refusals.ts";

const KEPT_FOR = 24 * 60 * 60 * 1_000;
const LONGEST = 255;

/** What a key says of a request: it is new, or here is the answer of the first. */
export type Claim = { entry: KeptAnswer; replay: NonNullable<KeptAnswer["answer"]> | undefined };

/**
 * Looks a request's key up. A key that is older than a day, by the driven clock, is a new one.
 * @throws Refusal when the key was first used for something else, or its first request is still under way
 */
export function claimKey(
  { keys, ahead }: Books,
  key: string,
  { endpoint, parameters, requestId }: Pick<KeptAnswer, "endpoint" | "parameters" | "requestId">,
): Claim {
  if (key.length > LONGEST) {
    throw keyRefusal(
      400,
      `Idempotency keys may be at most ${LONGEST} characters; this one has ${key.length}.`,
    );
  }
  const at = Date.now() + ahead;
  const held = keys.get(key);
  if (held === undefined || at - held.keptAt >= KEPT_FOR) {
    const entry = { endpoint, parameters, requestId, keptAt: at, answer: undefined };
    keys.set(key, entry);
    return { entry, replay: undefined };
  }
  if (held.endpoint !== endpoint) {
    throw keyRefusal(
      400,
      `Keys for idempotent requests can only be used for the same endpoint they were first used for ('${endpoint}' vs '${held.endpoint}'). Try using a key other than '${key}' if you meant to execute a different request.`,
    );
  }
  if (held.parameters !== parameters) {
    throw keyRefusal(
      400,
      `Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a key other than '${key}' if you meant to execute a different request.`,
    );
  }
  if (held.answer === undefined) {
    throw keyRefusal(
      409,
      `There is currently another in-progress request using this Idempotent Key (that probably means you submitted twice, and the other request is still going through): ${key}. Please try again later.`,
      "idempotency_key_in_use",
    );
  }
  return { entry: held, replay: held.answer };
}

function keyRefusal(status: number, message: string, code?: string): Refusal {
  return new Refusal(status, { type: "idempotency_error", message, ...(code && { code }) });
}

/** The same fields in whatever order are the same request. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) =>
    item !== null && typeof item === "object" && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
}
