import { execFile } from "node:child_process";
import { access, mkdir, readdir, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { FIRST_ACCOUNT, FIRST_MILESTONE, MILESTONES } from "./data.ts";
import type { BenchDatabase } from "./database.ts";
import type { Recording } from "./recording.ts";

const run = promisify(execFile);

/** The floor of a fund request: token, account and milestone by primary key, and a row as wide as an approval. */
const SCRIPT = `
\\set account random(:first_account, :last_account)
\\set milestone random(${FIRST_MILESTONE}, ${FIRST_MILESTONE + MILESTONES - 1})
select t.id, t.name, t.preview, t.scopes, a.features, a.claimed_at, m.status, m.description, m.amount_cents,
  m.currency, m.contract_id, m.revision
from tokens t
join accounts a on a.account_id = t.account_id
join milestones m on m.account_id = t.account_id and m.id = 'm-' || :account || '-' || :milestone
where t.account_id = md5(:account)::uuid and t.id = md5(:account)::uuid;
insert into bench_inserts (account_id, id, type, contract_id, milestone_id, job_id, terms, terms_digest, co_sign,
  token_id, token_name, token_preview, created_at, expires_at)
values (md5(:account)::uuid, gen_random_uuid(), 'milestone_fund', 'contract-' || :account,
  'm-' || :account || '-' || :milestone, 'job-' || :account, :terms, decode(:digest, 'hex'), 'session',
  md5(:account)::uuid, 'Purchasing agent', 'ot_pat_abcd********wxyz', now(), now() + interval '3 days');
`;

/** Looks for pgbench on PATH and where Debian keeps it. */
export async function findPgbench(): Promise<string | undefined> {
  const debian = "/usr/lib/postgresql";
  const versions = (await readdir(debian).catch(() => [])).sort((a, b) => Number(b) - Number(a));
  const folders = [
    ...(process.env.PATH ?? "").split(path.delimiter).filter((folder) => folder !== ""),
    ...versions.map((version) => path.join(debian, version, "bin")),
  ];
  for (const folder of folders) {
    const file = path.join(folder, "pgbench");
    const found = await access(file).then(
      () => true,
      () => false,
    );
    if (found) return file;
  }
  return undefined;
}

/**
 * Prepares pgbench's table and script.
 * @param folder where the script goes
 * @param fundNew what the service sent for such a request, of which the terms are taken
 * @returns runs it for some seconds, and says how many pairs of statements a second it made
 */
export async function preparePgbench(
  program: string,
  { url, client }: BenchDatabase,
  folder: string,
  connections: number,
  fundNew: Recording,
): Promise<(seconds: number) => Promise<number>> {
  await client.query(`create table bench_inserts (like approvals including defaults including generated,
    primary key (account_id, id))`);
  const { rows } = await client.query("select count(*)::integer as accounts from accounts");
  await mkdir(folder, { recursive: true });
  const script = path.join(folder, "pgbench.sql");
  await writeFile(script, SCRIPT);
  const address = new URL(url);
  const env = { ...process.env, PGPASSWORD: decodeURIComponent(address.password) };
  address.password = "";
  // Of libpq 17 and later.
  address.searchParams.delete("sslnegotiation");
  const variables = {
    first_account: FIRST_ACCOUNT,
    last_account: FIRST_ACCOUNT + rows[0].accounts - 1,
    terms: termsOf(fundNew),
    digest: "ab".repeat(32),
  };
  const threads = Math.min(connections, availableParallelism());
  const args = [
    ...["-n", "-M", "prepared", "-c", String(connections), "-j", String(threads), "-f", script],
    ...Object.entries(variables).flatMap(([name, value]) => ["-D", `${name}=${value}`]),
  ];
  return async (seconds) => {
    const { stdout, stderr } = await run(program, [...args, "-T", String(seconds), address.href], { env });
    const rate = Number(/^tps = ([\d.]+)/m.exec(stdout)?.[1]);
    if (!(rate > 0) || /aborted|failed transactions: [1-9]/.test(stdout + stderr)) {
      throw new Error(`pgbench failed: ${stdout}${stderr}`);
    }
    return rate;
  };
}

function termsOf({ statements }: Recording): string {
  const terms = statements.flatMap(({ values }) => values).find((value) => String(value).startsWith("{"));
  if (typeof terms !== "string") throw new TypeError("the service was not seen to insert terms");
  return terms;
}
