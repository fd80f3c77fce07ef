import type { TokenAccess } from "../http/access.ts";
import { FEED_SCOPES } from "./schemas.ts";

/** What reading the feed takes: any one of its scopes (CONTRACT.md §2). Works before the claim. */
export const UPDATES_ACCESS = { by: "token", scopes: FEED_SCOPES } as const satisfies TokenAccess;
