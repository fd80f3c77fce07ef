import type { Logger } from "pino";
import type { Db } from "../database/connection.ts";
import { openSignIn, type SignInDeps } from "../sign-in/service.ts";
import { type RelyingParty, relyingPartyOf } from "./relying-party.ts";

/** What sign-in and passkeys work with; created once, by `openSessions`. */
export type SessionDeps = SignInDeps & {
  /** What passkeys are bound to; `undefined`: passkeys are unavailable. */
  relyingParty: RelyingParty | undefined;
};

/** Wires up sign-in and passkeys. Does no I/O. */
export function openSessions(db: Db, config: Parameters<typeof openSignIn>[1], logger: Logger): SessionDeps {
  return { ...openSignIn(db, config, logger), relyingParty: relyingPartyOf(config) };
}
