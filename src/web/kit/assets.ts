import { hash } from "node:crypto";
import { readFileSync } from "node:fs";
import { brotliCompressSync, gzipSync } from "node:zlib";
import Negotiator from "negotiator";

const CSS = "text/css; charset=utf-8";
const SCRIPT = "text/javascript; charset=utf-8";
/** Imported by other scripts, so it comes first: their imports carry its address. */
const FILES = [
  { file: "webauthn.js", type: SCRIPT },
  { file: "style.css", type: CSS },
  { file: "card.js", type: SCRIPT },
  { file: "co-sign.js", type: SCRIPT },
  { file: "operator-docs.js", type: SCRIPT },
  { file: "passkeys.js", type: SCRIPT },
  { file: "send.js", type: SCRIPT },
  { file: "watch.js", type: SCRIPT },
  { file: "zone.js", type: SCRIPT },
] as const;

export type AssetFile = (typeof FILES)[number]["file"];
type Encoding = "br" | "gzip" | "identity";

/** A file that pages load. Its address carries the digest of its content, so browsers keep it without asking again. */
export type Asset = { url: string; type: string; content: Buffer };

/** Headers for an address whose content never changes. */
export const FOREVER = "public, max-age=31536000, immutable";

const assets = readAssets();
const compressed = new Map<string, Buffer>();

function readAssets(): ReadonlyMap<AssetFile, Asset> {
  const read = new Map<AssetFile, Asset>();
  for (const { file, type } of FILES) {
    const text = readFileSync(new URL(`../assets/${file}`, import.meta.url), "utf8");
    const imported = read.get("webauthn.js")?.url ?? "";
    const content = Buffer.from(text.replace('from "./webauthn.js"', `from "${imported}"`));
    const digest = hash("sha256", content, "hex").slice(0, 12);
    read.set(file, { url: `/assets/${file.replace(".", `.${digest}.`)}`, type, content });
  }
  return read;
}

export function listAssets(): readonly Asset[] {
  return [...assets.values()];
}

/** The address of a file that pages load, with the digest of its content. */
export function assetUrl(file: AssetFile): string {
  const asset = assets.get(file);
  if (asset === undefined) throw new Error(`no asset ${file}`);
  return asset.url;
}

/**
 * The content in the encoding that the browser prefers.
 * @param accepted the request's `Accept-Encoding`
 */
export function encodeAsset(
  { url, content }: Asset,
  accepted: string | undefined,
): { encoding: Encoding; body: Buffer } {
  const negotiator = new Negotiator({ headers: { "accept-encoding": accepted } });
  const encoding = negotiator.encoding(["br", "gzip", "identity"]) as Encoding | undefined;
  if (encoding !== "br" && encoding !== "gzip") return { encoding: "identity", body: content };
  const key = `${encoding} ${url}`;
  const known = compressed.get(key);
  if (known !== undefined) return { encoding, body: known };
  const body = encoding === "br" ? brotliCompressSync(content) : gzipSync(content);
  compressed.set(key, body);
  return { encoding, body };
}
