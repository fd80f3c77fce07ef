import { hkdfSync, randomBytes } from "node:crypto";
import { createRequestStateCodec, type RequestStateCodec } from "@modelcontextprotocol/server";
import { canonicalDigest } from "../lib/canonical.ts";
import { DAY_SECONDS } from "../lib/time.ts";

const KEY_BYTES = 32;
/** So long a human has to come back from the page that a call has sent them to; after that, the call is made afresh. */
const LASTS_SECONDS = DAY_SECONDS;

/** What a resumed call is bound to: the same account, tool and arguments. */
export type Call = { accountId: string; name: string; args: Record<string, unknown> };

/** Seals and opens the state of one call, which its client keeps while a human looks at a page. */
export type RequestState = (call: Call) => RequestStateCodec<string>;

/**
 * Signs states with a key made from the newest of the secrets, which all processes share.
 * @param secrets without any, the key is random and ends with the process
 */
export function openRequestState([secret = randomBytes(KEY_BYTES)]: readonly Buffer[]): RequestState {
  const key = new Uint8Array(hkdfSync("sha256", secret, "", "countersign:mcp-state", KEY_BYTES));
  return ({ accountId, name, args }) => {
    const bound = canonicalDigest([accountId, name, args]).toString("base64url");
    return createRequestStateCodec<string>({ key, ttlSeconds: LASTS_SECONDS, bind: () => bound });
  };
}
