import type { KeyObject } from "node:crypto";
import { JUMP } from "../lib/numbers.ts";
import { findFaults, linkDigest, NO_LINK } from "./receipt-rules.ts";
import type { Receipt } from "./schemas.ts";
import { findSigner, publicJwk } from "./signature.ts";
import { NotStrict, parseStrictJson } from "./strict-json.ts";
import { isReceipt } from "./validators.ts";

/** Why a receipt or a chain of receipts is not accepted, as text for people. */
export class Refused extends Error {
  override name = "Refused";
}

/** A link of an account's chain that was kept, to compare a later chain with. */
export type RetainedHead = { index: number; digest: string };

/**
 * Checks one receipt by itself: it is complete and unchanged, signed by one of the keys, and consistent. Does no I/O.
 * @param bytes a file: the answer of `GET /approvals/{id}/receipt`, or the receipt in it
 * @returns the receipt, and the thumbprint of the key that signed it
 * @throws Refused
 */
export async function verifyReceipt(
  bytes: Uint8Array,
  keys: readonly KeyObject[],
): Promise<{ receipt: Receipt; kid: string }> {
  const receipt = readReceipt(bytes);
  const signer = findSigner(receipt, keys);
  if (signer === undefined)
    throw new Refused("it is not signed by the key that you trust, or was changed since it was signed");
  const { signature, chain, ...content } = receipt;
  const { digest, ...link } = chain;
  const linked = { ...content, chain: link };
  if (linkDigest(linked) !== digest) throw new Refused("its digest is not the digest of what it says");
  const [fault] = await findFaults(linked);
  if (fault !== undefined) throw new Refused(fault);
  return { receipt, kid: publicJwk(signer).kid };
}

function readReceipt(bytes: Uint8Array): Receipt {
  try {
    const value = parseStrictJson(bytes);
    const receipt = isWrapped(value) ? value.receipt : value;
    if (isReceipt(receipt)) return receipt;
  } catch (error) {
    if (!(error instanceof NotStrict)) throw error;
    throw new Refused(error.message);
  }
  throw new Refused(
    "it does not have the form of a receipt: something is missing, of another kind, or too much",
  );
}

function isWrapped(value: unknown): value is { receipt: unknown } {
  return typeof value === "object" && value !== null && Object.keys(value).join() === "receipt";
}

/** A part of an account's chain in which each link refers to the one before it. */
export type Stretch = { accountId: string; from: number; to: number };

/**
 * Checks how verified receipts are linked, in any order.
 * @param head a link that was kept: the receipts must lead to it without a gap
 * @returns the unbroken stretches; nothing is known of the gaps between them
 * @throws Refused
 */
export function verifyChain(receipts: readonly Receipt[], head?: RetainedHead): Stretch[] {
  const accounts = groupBy(receipts, ({ accountId }) => accountId);
  if (head !== undefined && accounts.size !== 1)
    throw new Refused("a retained head is of one account, and these receipts are not");
  return [...accounts.values()].flatMap((own) => {
    const links = [...own].sort((a, b) => a.chain.index - b.chain.index);
    const stretches = linkUp(links);
    assertDecidedOnce(links);
    if (head !== undefined) holdTo(head, links, stretches);
    return stretches;
  });
}

/** As `Map.groupBy`, which Node 20 does not have: the verifier is installed there, too. */
function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
}

/**
 * Refuses a second decision of one approval. The holder of the service's key could link one, and the chain alone does
 * not show it.
 */
function assertDecidedOnce(links: readonly Receipt[]): void {
  for (const [approvalId, own] of groupBy(links, ({ approval }) => approval.id)) {
    const [first, second] = new Set(own.map(({ chain }) => chain.index));
    if (second !== undefined)
      throw new Refused(`receipts ${first} and ${second} are both of approval ${approvalId}`);
  }
}

function linkUp(links: readonly Receipt[]): Stretch[] {
  const stretches: Stretch[] = [];
  let before: Receipt["chain"] | undefined;
  for (const { accountId, chain } of links) {
    const { index, previousDigest, digest } = chain;
    // After a restore that lost links, indexes continue far beyond them, even for the first link.
    const begins = index === 1 || (index > JUMP && previousDigest === NO_LINK);
    if (begins !== (previousDigest === NO_LINK))
      throw new Refused(`receipt ${index} does not begin the chain as a first one does`);
    if (before?.index === index) {
      if (before.digest !== digest)
        throw new Refused(`there are two receipts ${index}: the chain was forked`);
      continue;
    }
    const last = stretches.at(-1);
    const follows = before?.index === index - 1 || before?.digest === previousDigest;
    if (last !== undefined && before !== undefined && follows) {
      if (before.digest !== previousDigest)
        throw new Refused(
          `receipt ${index} does not follow from receipt ${index - 1}: the chain was rewritten`,
        );
      last.to = index;
    } else stretches.push({ accountId, from: index, to: index });
    before = chain;
  }
  return stretches;
}

function holdTo(head: RetainedHead, links: readonly Receipt[], stretches: readonly Stretch[]): void {
  const kept = links.find(({ chain }) => chain.index === head.index);
  if (kept === undefined)
    throw new Refused(`receipt ${head.index}, the head that you kept, is not among them`);
  if (kept.chain.digest !== head.digest)
    throw new Refused(`receipt ${head.index} is not the one whose digest you kept: the chain was rewritten`);
  if (stretches.length > 1)
    throw new Refused(
      "receipts are missing between those given, so that not all of them lead to the head that you kept",
    );
}
