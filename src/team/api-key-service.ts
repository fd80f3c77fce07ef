import { findKey } from "../accounts/key-service.ts";
import { mailWithOwners } from "../accounts/member-service.ts";
import {
  type MintedToken,
  mintToken,
  revokeWithDescendants,
  type TokenRequest,
} from "../accounts/token-service.ts";
import { byPerson, recordAudit } from "../audit/service.ts";
import type { Db, Trx } from "../database/connection.ts";
import type { Origin } from "../lib/origin.ts";
import { notFound } from "../lib/problems.ts";
import { describeScopes } from "../lib/scope-words.ts";
import type { MailConfig } from "../mail/service.ts";
import { inSession, type Person } from "../sign-in/service.ts";
import { keyMintedMail, keyRevokedMail } from "./mails.ts";

type Deps = { db: Db; config: MailConfig };
type Account = { accountId: string; organizationId: string; accountName: string };

/**
 * Creates an API key for an account's agents. Mails the person and the account's owners, and records an audit entry.
 * @param request.id drawn by the form, which makes a second submit idempotent
 * @throws Problem not_found, not_permitted for a viewer, presence_expired, form_refused, token_limit_reached; as
 * `holdActor`
 */
export async function mintKey(
  { db, config }: Deps,
  person: Person,
  account: Account,
  request: Omit<TokenRequest, "expiresAt"> & { expiresIn: number | null },
  origin: Origin,
): Promise<MintedToken> {
  const { accountId, accountName } = account;
  const need = { fresh: true, account: { id: accountId, may: "decide", alone: true } } as const;
  return inSession(db, person, need, async (trx, now) => {
    const { expiresIn, ...asked } = request;
    const expiresAt = expiresIn === null ? null : new Date(now.getTime() + expiresIn);
    const minter = { userId: person.userId, name: person.name };
    const minted = await mintToken(trx, account, { ...asked, expiresAt }, minter, now);
    const { id, name, preview, scopes } = minted.metadata;
    const entry = { accountId, actor: byPerson(person), subject: { kind: "token", id }, origin };
    await recordAudit(trx, { ...entry, action: "key_minted", after: { name, scopes } }, now);
    const said = { by: person, accountName, keyName: name, preview, may: describeScopes(scopes) };
    await mailWithOwners(trx, accountId, person, (to) => keyMintedMail(config, to, said), now);
    return minted;
  });
}

/**
 * Revokes an API key and its descendants. Mails the person and the account's owners, unless nothing was left to
 * revoke.
 * @param revocation.endWebhooks deletes the keys' webhooks in this transaction and returns how many; absent: they
 * stay
 * @throws Problem not_found, not_permitted for a viewer; as `holdActor`
 */
export async function revokeKey(
  { db, config }: Deps,
  person: Person,
  account: Account,
  { id, endWebhooks }: { id: string; endWebhooks?: ((trx: Trx) => Promise<number>) | undefined },
  origin: Origin,
): Promise<void> {
  const { accountId, accountName } = account;
  const need = { account: { id: accountId, may: "decide", alone: true } } as const;
  await inSession(db, person, need, async (trx, now) => {
    const key = await findKey(trx, account, id);
    if (key === undefined) throw notFound("tokens", "tokenId", id);
    const ended = await revokeWithDescendants(trx, accountId, [id], now);
    const webhooksEnded = (await endWebhooks?.(trx)) ?? 0;
    const entry = { accountId, actor: byPerson(person), subject: { kind: "token", id }, origin };
    await recordAudit(trx, { ...entry, action: "key_revoked", detail: { ended, webhooksEnded } }, now);
    if (ended === 0 && webhooksEnded === 0) return;
    const { name: keyName, preview } = key;
    const said = { by: person, accountName, keyName, preview, ended, webhooksEnded };
    await mailWithOwners(trx, accountId, person, (to) => keyRevokedMail(config, to, said), now);
  });
}
