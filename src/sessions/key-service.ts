import { listOwners } from "../accounts/member-service.ts";
import { assertMayDecide, holdAccount } from "../accounts/service.ts";
import {
  findKey,
  type MintedToken,
  mintToken,
  revokeWithOffspring,
  type TokenRequest,
} from "../accounts/token-service.ts";
import { readClock } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { newId } from "../lib/ids.ts";
import { notFound } from "../lib/problems.ts";
import { describeScopes } from "../lib/scope-words.ts";
import { queueMail } from "../mail/service.ts";
import * as store from "./store.ts";
import { keyMintedMail } from "./team-mails.ts";

type Deps = { db: Db; config: { appName: string; publicUrl: string } };
type Person = { userId: string; email: string; name: string };
type Account = { accountId: string; organizationId: string; accountName: string };

/**
 * A person mints an API key for their account's agents. Whoever calls has checked that their proof is fresh. They
 * and the account's owners are mailed, and the audit has it.
 * @param request.id drawn by the form, which so counts once
 * @throws Problem not_found, not_permitted for a viewer, form_refused, token_limit_reached
 */
export async function mintKey(
  { db, config }: Deps,
  person: Person,
  account: Account,
  request: Omit<TokenRequest, "expiresAt"> & { expiresIn: number | null },
  address: string,
): Promise<MintedToken> {
  const { accountId, accountName } = account;
  return inTransaction(db, async (trx) => {
    const now = await readClock(trx);
    await holdAccount(trx, accountId);
    await assertMayDecide(trx, accountId, person.userId);
    const { expiresIn, ...asked } = request;
    const expiresAt = expiresIn === null ? null : new Date(now.getTime() + expiresIn);
    const minter = { userId: person.userId };
    const minted = await mintToken(trx, account, { ...asked, expiresAt }, minter, now);
    const { id, name, preview, scopes } = minted.metadata;
    const detail = { accountId, tokenId: id, scopes };
    const entry = { id: newId(), userId: person.userId, action: "key_minted", detail, address };
    await store.insertAudit(trx, entry, now);
    const others = (await listOwners(trx, accountId)).filter(({ userId }) => userId !== person.userId);
    const said = { by: person, accountName, keyName: name, preview, may: describeScopes(scopes) };
    for (const to of [person, ...others]) await queueMail(trx, keyMintedMail(config, to, said), now);
    return minted;
  });
}

/**
 * A person revokes an API key of their account, and all that it has minted, at once.
 * @param revocation.endWebhooks what ends the webhooks of those in this transaction, and says how many; absent: they go on
 * @throws Problem not_found, not_permitted for a viewer
 */
export async function revokeKey(
  { db }: Deps,
  person: Person,
  account: Account,
  { id, endWebhooks }: { id: string; endWebhooks?: ((trx: Trx) => Promise<number>) | undefined },
  address: string,
): Promise<void> {
  const { accountId } = account;
  await inTransaction(db, async (trx) => {
    const now = await readClock(trx);
    await holdAccount(trx, accountId);
    await assertMayDecide(trx, accountId, person.userId);
    if ((await findKey(trx, account, id)) === undefined) throw notFound("tokens", "tokenId", id);
    const ended = await revokeWithOffspring(trx, accountId, [id], now);
    const webhooksEnded = (await endWebhooks?.(trx)) ?? 0;
    const detail = { accountId, tokenId: id, ended, webhooksEnded };
    await store.insertAudit(
      trx,
      { id: newId(), userId: person.userId, action: "key_revoked", detail, address },
      now,
    );
  });
}
