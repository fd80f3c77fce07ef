import type { App } from "../http/app.ts";
import { badField } from "../lib/problems.ts";
import { tally } from "../lib/tally.ts";
import { type ProcessorEventDeps, receiveProcessorEvent } from "./processor-event-service.ts";

export const WEBHOOK_PATH = "/stripe/webhook";

const BODY_LIMIT = 256 * 1024;

/**
 * Receives the processor's events (docs/contract.md §0: not rate limited). 200 once an event is recorded. A message
 * with a wrong or old signature is 400 and is not recorded.
 */
export async function processorRoutes(app: App, deps: ProcessorEventDeps): Promise<void> {
  const { readEvent } = deps.processor;
  if (readEvent === undefined) return;
  // The signature covers the raw bytes.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser<string>("*", { parseAs: "string" }, (_request, body, done) => done(null, body));
  const noteUnsigned = tally((calls) =>
    app.log.warn(
      { calls },
      "the webhook was called without Stripe's signature, or with one that is wrong or too old",
    ),
  );
  app.post(
    WEBHOOK_PATH,
    { bodyLimit: BODY_LIMIT, config: { access: { by: "processor" } }, schema: { hide: true } },
    async (request) => {
      const signature = request.headers["stripe-signature"];
      const event = readEvent(
        typeof request.body === "string" ? request.body : "",
        typeof signature === "string" ? signature : undefined,
      );
      if (event === undefined) {
        noteUnsigned();
        throw badField(
          "stripe-signature",
          "This was not signed by Stripe with the secret of this endpoint, or too long ago.",
        );
      }
      await receiveProcessorEvent(deps, event);
      return { received: true };
    },
  );
}
