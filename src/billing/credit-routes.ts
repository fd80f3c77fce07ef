import { Type } from "@sinclair/typebox";
import { type GateDeps, openGrantGate } from "../accounts/gate.ts";
import { answerOnce } from "../accounts/idempotency-service.ts";
import type { App } from "../http/app.ts";
import { IdempotencyHeaders, readIdempotencyKey } from "../http/idempotency.ts";
import { originOf } from "../http/origin.ts";
import { ref } from "../lib/schema.ts";
import {
  CreditLedger,
  CreditLedgerQuery,
  Credits,
  NewTopUp,
  OneTopUp,
  TopUpAsked,
} from "./credit-schemas.ts";
import { getCredits, listCreditLedger } from "./credit-service.ts";
import { getTopUp, requestTopUp, type TopUpDeps, topUpCents } from "./top-up-service.ts";

type Deps = GateDeps & TopUpDeps;

/** GET /credits, GET /credits/ledger and GET /credits/top-ups/{topUpId} (docs/contract.md §5). */
export function creditRoutes(app: App, deps: Deps): void {
  const { db } = deps;
  const reading = openGrantGate(deps, "getCredits");
  const listing = openGrantGate(deps, "listCreditLedger");
  const finding = openGrantGate(deps, "getTopUp", ["not_found"]);

  app.get(
    "/credits",
    {
      ...reading.options,
      schema: {
        operationId: "getCredits",
        summary: "Read the account's credits",
        description:
          "The balances, in cents, and the ten newest entries. Zeros where credits were never used. Works before the claim.",
        tags: ["Credits"],
        response: { 200: Type.Object({ credits: ref(Credits) }) },
      },
    },
    async (request) => ({ credits: await getCredits(db, reading.grant(request).accountId) }),
  );

  app.get(
    "/credits/ledger",
    {
      ...listing.options,
      schema: {
        operationId: "listCreditLedger",
        summary: "List what moved the credits",
        description:
          "Entries, newest first. The available balance is the sum of all `amountCents`. A page holds each entry once, also " +
          "when entries are added meanwhile.",
        tags: ["Credits"],
        querystring: CreditLedgerQuery,
        response: { 200: ref(CreditLedger) },
      },
    },
    async (request) => listCreditLedger(db, listing.grant(request).accountId, request.query),
  );

  app.get(
    "/credits/top-ups/:topUpId",
    {
      ...finding.options,
      schema: {
        operationId: "getTopUp",
        summary: "Read a top-up",
        description:
          "`COMPLETED` once it was paid and its credits are available. `EXPIRED`: it was not paid in time, or the account " +
          "was frozen. Works before the claim.",
        tags: ["Credits"],
        params: Type.Object({ topUpId: Type.String() }),
        response: { 200: OneTopUp },
      },
    },
    async (request) => ({
      topUp: await getTopUp(db, finding.grant(request).accountId, request.params.topUpId),
    }),
  );
}

/** POST /credits/top-ups (docs/contract.md §5). Takes an `Idempotency-Key`. */
export function createTopUpRoute(app: App, deps: Deps): void {
  const { db } = deps;
  const gate = openGrantGate(deps, "createTopUp", [
    "top_up_limit_reached",
    "request_in_progress",
    "idempotency_key_reused",
  ]);
  app.post(
    "/credits/top-ups",
    {
      ...gate.options,
      schema: {
        operationId: "createTopUp",
        summary: "Request a top-up",
        description:
          "Moves no money: a signed-in owner or approver pays at `checkoutUrl`, within 24 hours, by a card that " +
          "they give there, and never by the card on file. At most 10 top-ups are pending. The owners are mailed.",
        tags: ["Credits"],
        headers: IdempotencyHeaders,
        body: NewTopUp,
        response: { 201: ref(TopUpAsked) },
      },
    },
    async (request, reply) => {
      const grant = gate.grant(request);
      const { accountId, tokenId } = grant;
      const amountCents = topUpCents(request.body);
      const keyed = readIdempotencyKey(request, reply);
      const asked = await answerOnce<TopUpAsked>(db, keyed && { accountId, tokenId, ...keyed }, (keep) =>
        requestTopUp(deps, grant, amountCents, originOf(request), keep),
      );
      return reply.code(201).send(asked);
    },
  );
}
