import { sql } from "kysely";
import type { Db } from "../database/connection.ts";
import { MINUTE } from "../lib/time.ts";

/** How long a credential stays known after it was last accepted: an hour, and the interval of sharing. */
const SHARED_EVERY = 5 * MINUTE;
const LASTS = 60 * MINUTE + SHARED_EVERY;
const LASTS_SECONDS = LASTS / 1_000;
/** Rows become visible up to this long after their time, as their statement may take that long. */
const OVERLAP_SECONDS = 10;
const AT_MOST = 100_000;

type Known = {
  /** When it was last accepted or rejected, as far as this process knows. */
  at: number;
  accepted: boolean;
  sharedAt: number;
};

/**
 * The credentials that were accepted within the last hour, by their digests: an address that is over its limit may
 * still use one of these (docs/contract.md §0). Shared between processes through a table about once a second, so that a new
 * process knows them too. Allows a look-up, never an action.
 */
export class KnownCredentials {
  /** In the order of acceptance, the oldest first. */
  readonly #known = new Map<string, Known>();
  readonly #unsent = new Set<string>();
  /** The database's time up to which others' acceptances have been read. */
  #readUpTo: Date | undefined;

  /** Records that a look-up has found the credential valid. */
  accept(digest: Buffer, now = Date.now()): void {
    const key = keyOf(digest);
    const sharedAt = this.#known.get(key)?.sharedAt ?? Number.NEGATIVE_INFINITY;
    this.#set(key, { at: now, accepted: true, sharedAt });
    if (now - sharedAt >= SHARED_EVERY) this.#unsent.add(key);
  }

  /** Records that a look-up has found the credential revoked or expired. */
  reject(digest: Buffer, now = Date.now()): void {
    const key = keyOf(digest);
    if (!this.#known.has(key)) return;
    this.#unsent.delete(key);
    this.#set(key, { at: now, accepted: false, sharedAt: Number.NEGATIVE_INFINITY });
  }

  /** Whether the credential was accepted within the last hour. */
  has(digest: Buffer, now = Date.now()): boolean {
    const known = this.#known.get(keyOf(digest));
    return known?.accepted === true && now - known.at < LASTS;
  }

  /** Shares what was accepted here since the last call, and reads what other processes have accepted. */
  async share(db: Db, now = Date.now()): Promise<void> {
    for (const [key, { at }] of this.#known) if (now - at >= LASTS) this.#known.delete(key);
    await this.#send(db, now);
    await this.#read(db, now);
  }

  async #send(db: Db, now: number): Promise<void> {
    const keys = [...this.#unsent].sort();
    if (keys.length === 0) return;
    await sql`
      insert into known_credentials (digest, accepted_at)
      select digest, now() from unnest(${keys.map(digestOf)}::bytea[]) as digest
      on conflict (digest) do update set accepted_at = excluded.accepted_at`.execute(db);
    for (const key of keys) {
      this.#unsent.delete(key);
      const known = this.#known.get(key);
      if (known !== undefined) known.sharedAt = now;
    }
  }

  async #read(db: Db, now: number): Promise<void> {
    const from = this.#readUpTo ?? new Date(0);
    // A time still to come was written before the clock was set back: it is not read, and limits what is read no more.
    const { rows } = await sql<{ digest: Buffer; acceptedAt: Date; age: number }>`
      select digest, accepted_at as "acceptedAt", extract(epoch from now() - accepted_at)::float8 as age
      from known_credentials
      where accepted_at <= now() and accepted_at > greatest(
        case when ${from}::timestamptz <= now() then ${from}::timestamptz - make_interval(secs => ${OVERLAP_SECONDS}) end,
        now() - make_interval(secs => ${LASTS_SECONDS}))
      order by accepted_at desc limit ${AT_MOST}`.execute(db);
    for (const { digest, acceptedAt, age } of rows.reverse()) {
      const key = keyOf(digest);
      const at = now - age * 1_000;
      if (at > (this.#known.get(key)?.at ?? Number.NEGATIVE_INFINITY))
        this.#set(key, { at, accepted: true, sharedAt: at });
      this.#readUpTo = acceptedAt;
    }
  }

  #set(key: string, known: Known): void {
    this.#known.delete(key);
    this.#known.set(key, known);
    if (this.#known.size <= AT_MOST) return;
    const [oldest = key] = this.#known.keys();
    this.#known.delete(oldest);
  }
}

/** Deletes credentials that no process counts as known any more. */
export async function forgetKnownCredentials(db: Db): Promise<void> {
  await sql`
    delete from known_credentials where accepted_at < now() - make_interval(secs => ${LASTS_SECONDS})`.execute(
    db,
  );
}

/** A digest as the key of a map: a character for each byte. */
function keyOf(digest: Buffer): string {
  return digest.toString("latin1");
}

function digestOf(key: string): Buffer {
  return Buffer.from(key, "latin1");
}
