import type { Grant } from "../accounts/service.ts";
import type { Credential } from "../lib/secrets.ts";

/** Who calls: what the gate has read of the token, and the token's own look-up, to read it again by. */
export type Caller = Grant & { credential: Credential };
