import type { Db } from "../database/connection.ts";
import { type Grant, updateLastUsed } from "./store.ts";

const MINUTE = 60_000;

/** Remembers which tokens were used, so that `last_used_at` is written behind the answers, once a minute. */
export class TokenUses {
  readonly #unwritten = new Map<string, { accountId: string; tokenId: string; at: Date }>();

  note({ accountId, tokenId, lastUsedAt, now }: Grant): void {
    if (lastUsedAt !== null && now.getTime() - lastUsedAt.getTime() < MINUTE) return;
    if (!this.#unwritten.has(tokenId)) this.#unwritten.set(tokenId, { accountId, tokenId, at: now });
  }

  /** Writes what was noted since the last time; what cannot be written is noted again by the next use. */
  async write(db: Db): Promise<void> {
    if (this.#unwritten.size === 0) return;
    const uses = [...this.#unwritten.values()].sort((a, b) => (a.tokenId < b.tokenId ? -1 : 1));
    this.#unwritten.clear();
    await updateLastUsed(db, uses);
  }
}
