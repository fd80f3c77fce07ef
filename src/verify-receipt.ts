#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { NoKey, readPublicKeys } from "./receipts/key-file.ts";
import { describeProof, describeReceipt, inert } from "./receipts/report.ts";
import type { Receipt } from "./receipts/schemas.ts";
import { Refused, type RetainedHead, verifyChain, verifyReceipt } from "./receipts/verifier.ts";

/** How it ends: all of it holds, something does not, or nothing could be checked. */
const ENDS = { verified: 0, refused: 1, unable: 2 } as const;

const USAGE = `verify-receipt FILE... --key KEYFILE [--thumbprint KID] [--head INDEX:DIGEST]

Checks receipts of Countersign, without network and database.
  FILE          a receipt, as GET /approvals/{id}/receipt answers it; of several the links are checked too
  --key         the service's public key, which you trust: a JWK, a JWK set (/.well-known/jwks.json), or PEM
  --thumbprint  of the one key in KEYFILE that you trust (RFC 7638)
  --head        a link of the account's chain that you kept: the receipts must lead to it
Ends with 0 when everything holds, 1 when something does not, 2 when nothing could be checked.`;

/** What keeps it from checking anything. */
class Unable extends Error {}

async function main(args: string[]): Promise<string> {
  const { files, keys, head } = readArguments(args);
  const receipts: Receipt[] = [];
  const kids = new Set<string>();
  const lines: string[] = [];
  for (const file of files) {
    const { receipt, kid } = await verifyReceipt(read(file), keys).catch((error: unknown) => {
      throw error instanceof Refused ? new Refused(`${file}: ${error.message}`) : error;
    });
    receipts.push(receipt);
    kids.add(kid);
    lines.push(`${file}: genuine`, ...describeReceipt(receipt));
  }
  const stretches = verifyChain(receipts, head);
  lines.push(...describeProof(receipts, { kids, stretches, head }));
  return lines.map(inert).join("\n");
}

function readArguments(args: string[]) {
  const { values, positionals: files } = parse(args);
  const { key, thumbprint } = values;
  if (key === undefined || files.length === 0) throw new Unable(USAGE);
  try {
    const keys = readPublicKeys(read(key).toString("utf8"), thumbprint);
    return { files, keys, head: values.head === undefined ? undefined : readHead(values.head) };
  } catch (error) {
    throw error instanceof NoKey ? new Unable(`${key}: ${error.message}`) : error;
  }
}

function parse(args: string[]) {
  try {
    const text = { type: "string" } as const;
    return parseArgs({ args, allowPositionals: true, options: { key: text, thumbprint: text, head: text } });
  } catch (error) {
    throw new Unable(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
  }
}

function readHead(text: string): RetainedHead {
  const [, index, digest] = /^([1-9]\d{0,14}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (index === undefined || digest === undefined)
    throw new Unable(`--head must be INDEX:DIGEST, the digest in 64 hex digits, not ${text}`);
  return { index: Number(index), digest };
}

function read(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new Unable(`${file} cannot be read: ${error instanceof Error ? error.message : error}`);
  }
}

try {
  console.log(await main(process.argv.slice(2)));
} catch (error) {
  const known = error instanceof Refused || error instanceof Unable;
  console.error(
    error instanceof Refused ? `REFUSED  ${inert(error.message)}` : known ? error.message : error,
  );
  process.exitCode = error instanceof Refused ? ENDS.refused : ENDS.unable;
}
