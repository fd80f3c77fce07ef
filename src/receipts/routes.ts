import { Type } from "@sinclair/typebox";
import { type GateDeps, openGate } from "../accounts/gate.ts";
import type { App } from "../http/app.ts";
import { servePublicDocument } from "../http/public-document.ts";
import { isUuid } from "../lib/ids.ts";
import { ref } from "../lib/schema.ts";
import { Receipt } from "./schemas.ts";
import { type ReceiptDeps, type ReceiptKeys, showReceipt } from "./service.ts";
import { readReceipt } from "./store.ts";

const Params = Type.Object({ approvalId: Type.String() });
const OneReceipt = Type.Object({ receipt: ref(Receipt) });

/** GET /approvals/{approvalId}/receipt (docs/contract.md §1). */
export function receiptRoute(app: App, deps: GateDeps & ReceiptDeps): void {
  const gate = openGate(deps, "getReceipt", ["not_found", "no_receipt"], (credential, request) => {
    const { approvalId } = request.params as { approvalId: string };
    return readReceipt(deps.db, credential, isUuid(approvalId) ? approvalId : null);
  });

  app.get(
    "/approvals/:approvalId/receipt",
    {
      ...gate.options,
      schema: {
        operationId: "getReceipt",
        summary: "Read the receipt of a decided approval",
        description:
          "Says what was asked for and by whom, what a person signed and how they proved their presence, and what was " +
          "paid. It is linked to the account's previous receipt and signed by this service. Keep it with a key from " +
          "`/.well-known/jwks.json`: then you can check it without this service, now and in years.",
        tags: ["Approvals"],
        params: Params,
        response: { 200: OneReceipt },
      },
    },
    async (request) => ({
      receipt: showReceipt(deps.receiptKeys, gate.grant(request), request.params.approvalId),
    }),
  );
}

/** The public keys of all signing keys that ever signed receipts here (RFC 7517), the current one first. */
export function jwksRoute(app: App, { published }: ReceiptKeys): void {
  servePublicDocument(app, "/.well-known/jwks.json", {
    type: "application/json; charset=utf-8",
    write: () => JSON.stringify({ keys: published }),
  });
}
