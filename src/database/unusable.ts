import pg from "pg";
import { StartError } from "../lib/start-error.ts";

type Kind = { known: RegExp; advice: (variable: string) => string };

/** What a code (SQLSTATE, Node's) or, where there is none, a message says about what to do. The first one counts. */
const KINDS: readonly Kind[] = [
  {
    known: /^(28|SASL|SCRAM)/,
    advice: (variable) => `Check user and password of ${variable} (or PGPASSWORD), and pg_hba.conf.`,
  },
  { known: /^3D000/, advice: (variable) => `Create it, or check the database's name in ${variable}.` },
  {
    known: /^42501/,
    advice: () =>
      "Run src/database/roles.sql as docs/database.md says, then `migrate` with DATABASE_MIGRATE_URL.",
  },
  { known: /^25006/, advice: (variable) => `It takes no writes: point ${variable} to the primary.` },
  {
    known: /^(08P01|0A000).*(startup|parameter|transaction blocks)/,
    advice: () =>
      "A pooler must be in transaction or session mode, and commands go past it, by DATABASE_DIRECT_URL; docs/database.md says how to set up PgBouncer.",
  },
  {
    known: /SSL|TLS|CERT|EPROTO|(un)?self.signed|^UNABLE_TO|\bENOENT\b.*\bopen\b/i,
    advice: (variable) => `Check sslmode and sslrootcert in ${variable}; docs/database.md says how.`,
  },
  {
    known: /^(ECONN|ENO|EAI_|ETIMEDOUT|EHOST|ENET|EACCES|EPIPE|57P|53|08)|terminated|timeout|not queryable/i,
    advice: (variable) => `Check ${variable}, and that it is running.`,
  },
];

/**
 * What the operator can mend at the database, in one line, without the address and its password. Faults of ours, which
 * come neither from the server nor from the way to it, stay what they are.
 * @param variable where the address came from
 */
export function asDatabaseError(error: unknown, variable = "DATABASE_URL"): unknown {
  const first = error instanceof AggregateError ? error.errors[0] : error;
  if (!(first instanceof Error) || first instanceof StartError) return first;
  const code = "code" in first && typeof first.code === "string" ? first.code : "";
  const said = first.message.replace(/\s+/g, " ").replace(/[\s.]+$/, "");
  const kind = KINDS.find(({ known }) => known.test(`${code} ${said}`.trim()));
  if (kind !== undefined) {
    return new StartError(`The database cannot be used: ${said}. ${kind.advice(variable)}`);
  }
  if (!(first instanceof pg.DatabaseError)) return error;
  return new StartError(`The database cannot be used: ${said} (SQLSTATE ${code}). Check ${variable}.`);
}
