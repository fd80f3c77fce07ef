import { open, readFile, rename, rm } from "node:fs/promises";
import { parseArgs } from "node:util";
import type { DatabaseAddress } from "../config/config.ts";
import { StartError } from "../lib/start-error.ts";
import { type AccountAudit, auditAccounts, show } from "../receipts/audit-service.ts";
import type { RetainedHead } from "../receipts/verifier.ts";
import { onDatabase, readArguments } from "./by-hand.ts";

const SHOWN = 20;

/** Exit codes of `audit`, for scheduled runs. */
export const AUDITED = { whole: 0, wrong: 1, failed: 2 } as const;

/**
 * Walks every account's chain of receipts, and says of each what is wrong.
 * @param args `--heads FILE`: heads that were kept, to hold the chains to; `--save FILE`: where to keep the present ones,
 * if nothing is wrong
 * @param print is given line by line, so that any number of accounts takes no more memory than one
 * @returns the exit code
 * @throws StartError for whatever the person at the terminal can mend
 */
export async function audit(
  database: DatabaseAddress,
  args: readonly string[],
  print: (line: string) => void,
): Promise<number> {
  const { heads, save } = readOptions(args);
  const retained = heads === undefined ? new Map<string, RetainedHead>() : await readHeads(heads);
  return onDatabase(database, "audit", async (db) => {
    const kept = save === undefined ? undefined : await keepHeads(save);
    try {
      const sums = { accounts: 0, receipts: 0, findings: 0 };
      for await (const one of auditAccounts(db, retained)) {
        for (const line of describe(one)) print(line);
        sums.accounts += 1;
        sums.receipts += one.receipts;
        sums.findings += one.findings.length;
        if (one.head.index > 0) await kept?.add(`${one.account} ${show(one.head)}\n`);
      }
      const whole = sums.findings === 0;
      print(`Checked ${sums.receipts} receipts of ${sums.accounts} accounts: ${sums.findings} findings.`);
      await kept?.end(whole);
      if (kept !== undefined)
        print(whole ? `The heads are in ${save}.` : "The heads were not kept, as something is wrong.");
      return whole ? AUDITED.whole : AUDITED.wrong;
    } catch (error) {
      await kept?.end(false).catch(() => {});
      throw error;
    }
  });
}

function readOptions(args: readonly string[]): { heads?: string; save?: string } {
  return readArguments("audit [--heads FILE] [--save FILE]", () => {
    const text = { type: "string" } as const;
    return parseArgs({ args: [...args], options: { heads: text, save: text } }).values;
  });
}

/** One account a line, as `--save` writes them: `acct-1 12:ab34…`. */
async function readHeads(file: string): Promise<Map<string, RetainedHead>> {
  const text = await readFile(file, "utf8").catch((error: Error) => {
    throw new StartError(`The heads in ${file} cannot be read: ${error.message}`);
  });
  const heads = new Map<string, RetainedHead>();
  for (const line of text.split("\n").filter((one) => one !== "")) {
    const [, account, index, digest] = /^(\S+) ([1-9]\d{0,14}):([0-9a-f]{64})$/.exec(line) ?? [];
    if (account === undefined || index === undefined || digest === undefined)
      throw new StartError(
        `The heads in ${file} are damaged: ${line.slice(0, 100)} is no line that was saved`,
      );
    heads.set(account, { index: Number(index), digest });
  }
  return heads;
}

/** Writes beside the file, and puts it in its place when it is whole: what was kept before is not lost. */
async function keepHeads(file: string) {
  const draft = `${file}.${process.pid}.new`;
  const handle = await open(draft, "wx", 0o600).catch((error: Error) => {
    throw new StartError(`The heads cannot be kept in ${file}: ${error.message}`);
  });
  return {
    add: (line: string) => handle.appendFile(line),
    async end(whole: boolean): Promise<void> {
      await handle.sync();
      await handle.close();
      await (whole ? rename(draft, file) : rm(draft));
    },
  };
}

function describe({ account, head, findings, unlinkedBefore }: AccountAudit): string[] {
  if (findings.length === 0 && head.index === 0 && unlinkedBefore === 0) return [];
  const before = unlinkedBefore > 0 ? `; ${unlinkedBefore} decisions are older than receipts` : "";
  if (findings.length === 0) return [`${account}: ok, head ${show(head)}${before}`];
  const more = findings.length - SHOWN;
  return [
    `${account}: WRONG${before}`,
    ...findings.slice(0, SHOWN).map((finding) => `  ${finding}`),
    ...(more > 0 ? [`  and ${more} more`] : []),
  ];
}
