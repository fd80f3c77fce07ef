import { hash } from "node:crypto";
import { findUnbalanced } from "../billing/sums-service.ts";
import type { Db } from "../database/connection.ts";
import { canonicalText } from "../lib/canonical.ts";
import { JUMP } from "../lib/numbers.ts";
import { findFaults, NO_LINK } from "./receipt-rules.ts";
import type { LinkedContent, ReceiptContent } from "./schemas.ts";
import { type AuditedAccount, type AuditedLink, listAccounts, listLinks, listUnlinked } from "./store.ts";
import { isLinkedContent } from "./validators.ts";
import type { RetainedHead } from "./verifier.ts";

const ACCOUNTS_AT_ONCE = 200;
const LINKS_AT_ONCE = 100;

/** The result of the audit of one account. */
export type AccountAudit = {
  /** The operator's id for it. */
  account: string;
  /** How many receipts its chain has. Their numbers jump after a fail-over or a restart of the database. */
  receipts: number;
  /** The end of its chain, to be kept. */
  head: RetainedHead;
  /** What is wrong, as text for people; empty when nothing is. */
  findings: string[];
  /** How many decisions were made before the service wrote receipts. */
  unlinkedBefore: number;
};

/**
 * Walks every account's chain. Digests each link again and compares it with the link before, with its own text, and
 * with the rows that it describes; compares the last link with the account's head. Also checks that the account's money adds up. Reads in pages, so that a long
 * chain takes no more memory.
 * @param retained heads that were kept, by the operator's account ids; a chain must still contain them
 */
export async function* auditAccounts(
  db: Db,
  retained: ReadonlyMap<string, RetainedHead>,
): AsyncGenerator<AccountAudit> {
  const missing = new Map(retained);
  for (let after: string | null = null; ; ) {
    const page: AuditedAccount[] = await listAccounts(db, after, ACCOUNTS_AT_ONCE);
    const keys = page.map(({ accountId }) => accountId);
    const unlinked = Map.groupBy(await listUnlinked(db, keys), ({ accountId }) => accountId);
    const unbalanced = await findUnbalanced(db, keys);
    for (const account of page) {
      const kept = retained.get(account.organizationId);
      missing.delete(account.organizationId);
      const audit = await auditAccount(db, account, kept, unlinked.get(account.accountId) ?? []);
      audit.findings.push(...(unbalanced.get(account.accountId) ?? []));
      yield audit;
    }
    after = keys.at(-1) ?? null;
    if (page.length < ACCOUNTS_AT_ONCE) break;
  }
  for (const [account, head] of missing)
    yield {
      account,
      receipts: 0,
      head,
      findings: ["the account is missing, and a head of its chain was kept"],
      unlinkedBefore: 0,
    };
}

async function auditAccount(
  db: Db,
  { accountId, organizationId, head, last }: AuditedAccount,
  kept: RetainedHead | undefined,
  unlinked: readonly { approvalId: string; before: boolean }[],
): Promise<AccountAudit> {
  const findings: string[] = [];
  let receipts = 0;
  let index = 0;
  let digest = NO_LINK;
  let isKept = kept === undefined || kept.index === 0;
  for (let more = last > 0; more; ) {
    const page = await listLinks(db, accountId, { after: index, upTo: last, limit: LINKS_AT_ONCE });
    for (const link of page) {
      const faults = await linkFaults(link, { index, digest }, organizationId);
      findings.push(...faults.map((fault) => `receipt ${link.index}: ${fault}`));
      receipts += 1;
      ({ index } = link);
      digest = link.digest.toString("hex");
      isKept ||= kept?.index === index;
      if (kept?.index === index && kept.digest !== digest)
        findings.push(`receipt ${index}: it is not the one whose digest was kept`);
    }
    more = page.length === LINKS_AT_ONCE;
  }
  const own = { index: head.index, digest: head.digest.toString("hex") };
  if (own.index !== index || own.digest !== digest)
    findings.push(`the account's head is ${show(own)}, and its chain ends at ${show({ index, digest })}`);
  if (kept !== undefined && kept.index > index)
    findings.push(
      `the chain ends at ${index}, before the head that was kept, ${kept.index}: it was cut short`,
    );
  else if (!isKept)
    findings.push(
      `receipt ${kept?.index}, whose digest was kept, is lost: a restore or a fail-over may have lost it`,
    );
  for (const { approvalId, before } of unlinked)
    if (!before) findings.push(`approval ${approvalId} was decided and has no receipt`);
  const unlinkedBefore = unlinked.filter(({ before }) => before).length;
  return { account: organizationId, receipts, head: { index, digest }, findings, unlinkedBefore };
}

/** `index:digest`, the form in which heads are kept. */
export function show({ index, digest }: RetainedHead): string {
  return `${index}:${digest}`;
}

async function linkFaults(link: AuditedLink, before: RetainedHead, account: string): Promise<string[]> {
  const { index, previousDigest, digest, body } = link;
  const faults: string[] = [];
  if (index !== before.index + 1 && index <= before.index + JUMP)
    faults.push(`it follows receipt ${before.index}: those between are gone`);
  if (previousDigest.toString("hex") !== before.digest)
    faults.push("it refers to another one than the one before it");
  if (!hash("sha256", body, "buffer").equals(digest))
    faults.push("its digest is not the digest of what it says");
  const content = readBody(body);
  if (content === undefined) return [...faults, "it does not have the form of a receipt"];
  if (content.chain.index !== index || content.chain.previousDigest !== previousDigest.toString("hex"))
    faults.push("it says that it stands elsewhere in the chain");
  if (content.accountId !== account) faults.push(`it says that it is of the account ${content.accountId}`);
  return [...faults, ...(await findFaults(content)), ...differences(content, link.present)];
}

/** The content of a receipt; `undefined` when the body is not its canonical form. */
function readBody(body: string): LinkedContent | undefined {
  try {
    const content: unknown = JSON.parse(body);
    return isLinkedContent(content) && canonicalText(content) === body ? content : undefined;
  } catch {
    return undefined;
  }
}

/** Where the rows differ from the receipt. Ignores names and refunds, which may change later. */
function differences(content: LinkedContent, present: ReceiptContent): string[] {
  const withoutNames = ({ statements }: ReceiptContent) =>
    statements.map(({ signedBy, ...rest }) => ({ ...rest, userId: signedBy.userId }));
  const compared: [string, unknown, unknown][] = [
    ["the approval", content.approval, present.approval],
    ["the terms", content.terms, present.terms],
    ["who asked", content.askedBy, present.askedBy],
    ["what was signed", withoutNames(content), withoutNames(present)],
    ["the payments", content.payments, present.payments],
  ];
  const differing = compared.filter(([, kept, now]) => canonicalText([kept]) !== canonicalText([now]));
  const booked = new Set(present.ledger.map((line) => canonicalText(line)));
  const unbooked = content.ledger.filter((line) => !booked.has(canonicalText(line)));
  const credited = new Set(present.credits.map((entry) => canonicalText(entry)));
  const uncredited = content.credits.filter((entry) => !credited.has(canonicalText(entry)));
  return [
    ...(uncredited.length > 0 ? ["the credits do not have an entry that it names"] : []),
    ...differing.map(([name]) => `the database says otherwise of ${name}`),
    ...(unbooked.length > 0 ? ["the ledger does not have what it says was booked"] : []),
  ];
}
