import type { Db } from "../database/connection.ts";
import { MINUTE } from "../lib/time.ts";
import { type Grant, updateLastUsed } from "./store.ts";

/** Collects which tokens were used, so that `last_used_at` is written in batches and not in requests. */
export class TokenUses {
  readonly #unwritten = new Map<string, { accountId: string; tokenId: string; at: Date }>();

  note({ accountId, tokenId, lastUsedAt, now }: Grant): void {
    if (lastUsedAt !== null && now.getTime() - lastUsedAt.getTime() < MINUTE) return;
    if (!this.#unwritten.has(tokenId)) this.#unwritten.set(tokenId, { accountId, tokenId, at: now });
  }

  /** Writes the uses since the last write. A use that cannot be written is lost until the next one. */
  async write(db: Db): Promise<void> {
    if (this.#unwritten.size === 0) return;
    const uses = [...this.#unwritten.values()].sort((a, b) => (a.tokenId < b.tokenId ? -1 : 1));
    this.#unwritten.clear();
    await updateLastUsed(db, uses);
  }
}
