import type { AuditAction } from "../audit/schemas.ts";
import { recordAudit } from "../audit/service.ts";
import type { Trx } from "../database/connection.ts";
import { newId } from "../lib/ids.ts";
import type { Origin } from "../lib/origin.ts";
import { line, type MailLine, named, own } from "../mail/line.ts";
import * as store from "./token-act-store.ts";
import type { ActingToken } from "./token-store.ts";

export type TokenAct = {
  action: AuditAction;
  subject: { kind: "token" | "webhook"; id: string };
  before?: Record<string, unknown>;
  after?: Record<string, unknown>;
  /** What it did, to follow the token's name in a mail. */
  said: MailLine;
};

/**
 * Records what a token did to API keys or webhooks (docs/contract.md §0), in the transaction that does it: an audit entry,
 * and a line of the next mail to the account's owners.
 */
export async function recordTokenAct(
  trx: Trx,
  token: ActingToken,
  { said, ...entry }: TokenAct,
  origin: Origin,
  now: Date,
): Promise<void> {
  const { accountId, tokenId, rootTokenId: rootId, tokenName: name, tokenPreview } = token;
  const actor = { kind: "token" as const, tokenId, rootId, name };
  await recordAudit(trx, { accountId, actor, origin, ...entry }, now);
  const told = line`The API key ${named(name)} (${own(tokenPreview)}) ${said}.`;
  await store.insertAct(trx, accountId, { id: newId(), line: told.toString() }, now);
}
